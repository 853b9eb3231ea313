import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Arguments for pg_restore, valid until it is disposed of. */
export interface DumpSelection extends AsyncDisposable {
  readonly args: readonly string[];
}

export function selectAll(): DumpSelection {
  return { args: [], [Symbol.asyncDispose]: () => Promise.resolve() };
}

/** `--use-list` with a file of numbers only, as pg_restore reads no more of it: no name gets onto this disk. */
export async function selectFromDump(dumpIds: readonly number[]): Promise<DumpSelection> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-list-'));
  const file = join(folder, 'list');
  await writeFile(file, dumpIds.map((id) => `${id};\n`).join(''), { mode: 0o600 });
  return {
    args: [`--use-list=${file}`],
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}
