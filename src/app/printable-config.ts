import { notifyTargets } from './notify-targets.ts';
import type { Settings } from './settings.ts';

const SECRET = /secret|password|token|accessKeyId/i;

/** What is in force, without anything that opens a door: URLs lose their passwords, keys are only named. */
export async function printableConfig(settings: Settings): Promise<unknown> {
  const { config, file } = settings.loaded;
  const source = settings.findSource();
  const store = await settings.findStore();
  return {
    file: file ?? null,
    source: settings.sourceName,
    url: source === undefined ? null : `${source.display}?sslmode=${source.sslmode}`,
    repository: store?.location ?? null,
    repositories: Object.fromEntries(
      Object.entries(config.repositories ?? {}).map(([name, entry]) => [
        name,
        typeof entry === 'string' ? entry : hidden(entry),
      ]),
    ),
    snapshot: config.snapshot ?? {},
    capture: config.capture ?? {},
    schedules: config.schedules ?? [],
    notify: (await notifyTargets(config)).map(({ name, on }) => ({ name, on })),
    smtp: config.smtp === undefined ? null : hidden({ ...config.smtp, url: addressOf(config.smtp.url) }),
    retention: config.retention ?? {},
    encryption: {
      recipients: config.encryption?.recipients ?? [],
      identityFile: config.encryption?.identityFile ?? null,
    },
    signing: { keyFile: config.signing?.keyFile ?? null },
    // As understood: what was pasted there by mistake may be a private key.
    trust: settings.trust()?.publicKeys ?? [],
  };
}

function addressOf(url: string | undefined): string | undefined {
  const { protocol, host } = (url === undefined ? null : URL.parse(url)) ?? {};
  return host === undefined ? undefined : `${protocol}//${host}`;
}

function hidden(entry: object): unknown {
  return Object.fromEntries(
    Object.entries(entry).map(([name, value]: [string, unknown]) => [
      name,
      SECRET.test(name) ? '***' : value,
    ]),
  );
}
