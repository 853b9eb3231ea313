import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

interface Address {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
}

/**
 * The password that libpq's password file gives for an address (libpq, "The Password File"): the first line
 * whose fields match, `*` matching all. A file that others can read is ignored, as libpq does.
 */
export function passwordFromFile(
  address: Address,
  at: { readonly passfile: string | undefined; readonly home: string | undefined },
): string | undefined {
  const path = at.passfile ?? (at.home === undefined ? undefined : join(at.home, '.pgpass'));
  const text = path === undefined ? undefined : readPrivate(path);
  const host = address.host.startsWith('/') ? 'localhost' : address.host;
  const wanted = [host, String(address.port), address.database, address.user];
  for (const line of text?.split('\n') ?? []) {
    if (line.startsWith('#')) continue;
    const fields = [...line.replace(/\r$/, '').matchAll(/((?:\\.|[^:\\])*)(?::|$)/g)].map(
      (match) => match[1] ?? '',
    );
    if (fields.length < 5) continue;
    const matches = wanted.every(
      (value, index) => fields[index] === '*' || unescape(fields[index]) === value,
    );
    if (matches) return unescape(fields[4]);
  }
  return undefined;
}

function readPrivate(path: string): string | undefined {
  try {
    const stat = statSync(path);
    return stat.isFile() && (stat.mode & 0o077) === 0 ? readFileSync(path, 'utf8') : undefined;
  } catch {
    return undefined;
  }
}

function unescape(field: string | undefined): string {
  return (field ?? '').replaceAll(/\\(.)/g, '$1');
}
