import { readFileSync } from 'node:fs';

/** `tidemark 0.1.0`, as package.json says. */
export const PROGRAM: string = (() => {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const { name, version } = JSON.parse(text) as { name: string; version: string };
  return `${name} ${version}`;
})();
