import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Failure } from '../model/failure.ts';

/**
 * The parameters of one service (libpq, "The Connection Service File"): from PGSERVICEFILE or ~/.pg_service.conf,
 * then from pg_service.conf in PGSYSCONFDIR. The first section of that name counts, the first of a key in it too.
 * Fails with `config.missing` when no file has it, `config.invalid` for a line that is none; no message holds a value.
 */
export function readService(
  name: string,
  environment: Readonly<Record<string, string | undefined>>,
): Map<string, string> {
  const { PGSERVICEFILE, HOME, PGSYSCONFDIR } = environment;
  const files = [
    PGSERVICEFILE ?? (HOME === undefined ? undefined : join(HOME, '.pg_service.conf')),
    PGSYSCONFDIR === undefined ? undefined : join(PGSYSCONFDIR, 'pg_service.conf'),
  ].filter((file) => file !== undefined);
  for (const file of files) {
    const text = read(file);
    const found = text === undefined ? undefined : sectionOf(text, { name, file });
    if (found !== undefined) return found;
  }
  throw new Failure('config.missing', `no service ${name} in ${files.join(' or ')}`, {
    facts: { service: name, files },
    remedy: 'write the service into ~/.pg_service.conf, or name the file with PGSERVICEFILE',
  });
}

function sectionOf(
  text: string,
  wanted: { readonly name: string; readonly file: string },
): Map<string, string> | undefined {
  let found: Map<string, string> | undefined;
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    if (line.startsWith('[')) {
      if (found !== undefined) return found;
      if (line === `[${wanted.name}]`) found = new Map();
      continue;
    }
    if (found === undefined) continue;
    const [, key, value] = /^([a-z_]+)=(.*)$/.exec(line) ?? [];
    if (key === undefined || value === undefined) {
      throw new Failure('config.invalid', `${wanted.file}, line ${index + 1}: no name=value`, {
        facts: { file: wanted.file, line: index + 1 },
        remedy: 'write one parameter of libpq on each line, without spaces around the =',
      });
    }
    if (!found.has(key)) found.set(key, value);
  }
  return found;
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    throw new Failure('config.invalid', `${file} can't be read`, { facts: { file }, cause });
  }
}
