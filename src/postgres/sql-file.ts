import { readFileSync } from 'node:fs';

const loaded = new Map<string, string>();

/** The text of `sql/<name>.sql`. The files are part of the program: a missing one is a defect, not a Failure. */
export function sqlFile(name: string): string {
  let text = loaded.get(name);
  if (text === undefined) {
    text = readFileSync(new URL(`../../sql/${name}.sql`, import.meta.url), 'utf8');
    loaded.set(name, text);
  }
  return text;
}
