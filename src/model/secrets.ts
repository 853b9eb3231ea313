/**
 * A text for logs and notices, without what opens a door: user and password of URLs and their parameters, age
 * identities, words behind `password=`. A net below, not the rule: nothing that is logged should hold a secret.
 */
export function withoutSecrets(text: string): string {
  return text
    .replaceAll(/\b([a-z][a-z0-9+.-]*:\/\/)[^\s/?#]*@/gi, '$1***@')
    .replaceAll(/\b([a-z][a-z0-9+.-]*:\/\/[^\s?#]*)\?[^\s#]*/gi, '$1?***')
    .replaceAll(/AGE-SECRET-KEY-1[0-9A-Z]+/gi, 'AGE-SECRET-KEY-***')
    .replaceAll(/\b(password|passphrase|secret|token)(\s*[=:]\s*)\S+/gi, '$1$2***');
}
