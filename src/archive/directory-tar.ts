import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { extract, pack } from 'tar-stream';
import type { Extract } from 'tar-stream';
import { Failure } from '../model/failure.ts';

/** What pg_dump calls the files of its directory format: toc.dat, 4711.dat.gz, blobs_17.toc … */
const FILE_NAME = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,98}$/;
/** First in the archive, so that a reader who only wants to know what is in it can stop there. */
const CONTENTS = 'toc.dat';

/** A folder of plain files (pg_dump -Fd) as a tar archive: its table of contents first, the rest by name. */
export async function* packDirectory(
  path: string,
  options: { readonly modified: Date },
): AsyncGenerator<Buffer> {
  const names = (await readdir(path)).sort();
  const ordered = [
    ...names.filter((name) => name === CONTENTS),
    ...names.filter((name) => name !== CONTENTS),
  ];
  const tar = pack();
  const write = async (): Promise<void> => {
    for (const name of ordered) {
      const { size } = await stat(join(path, name));
      const entry = tar.entry({ name, size, mode: 0o600, mtime: options.modified, type: 'file' });
      await pipeline(createReadStream(join(path, name)), entry);
    }
    tar.finalize();
  };
  const written = write();
  written.catch((error: unknown) => tar.destroy(error as Error));
  yield* tar as AsyncIterable<Buffer>;
  await written;
}

/**
 * Undoes `packDirectory` into a folder that it makes. Only plain files directly in it, each once: anything else
 * is `integrity.format`, before a byte of it is written. More than `maxBytes` in all is, too.
 */
export async function unpackDirectory(
  body: AsyncIterable<Uint8Array>,
  path: string,
  options: { readonly maxBytes: number; readonly only?: 'contents' | undefined },
): Promise<void> {
  await mkdir(path, { mode: 0o700 });
  const tar = extract();
  const source = Readable.from(body, { objectMode: false });
  const fed = pipeline(source, tar);
  // Told by the loop below, or no failure: who has read enough ends the stream.
  fed.catch(() => undefined);
  try {
    await unpackEntries(tar, path, options);
    if (options.only === undefined) await fed;
  } catch (error) {
    // What the body's source or the disk says has a code; a tar archive that breaks off has none.
    if (error instanceof Error && 'code' in error) throw error;
    throw new Failure('integrity.truncated', 'the dump’s tar archive ends early', { cause: error });
  } finally {
    source.destroy();
  }
}

async function unpackEntries(
  tar: Extract,
  path: string,
  options: { readonly maxBytes: number; readonly only?: 'contents' | undefined },
): Promise<void> {
  const seen = new Set<string>();
  let left = options.maxBytes;
  for await (const entry of tar) {
    const { name, type, size } = entry.header;
    left -= size;
    if (type !== 'file' || !FILE_NAME.test(name) || seen.has(name) || left < 0)
      throw new Failure('integrity.format', 'the dump’s tar archive holds what pg_dump never makes', {
        facts: { member: name.slice(0, 100), type },
      });
    seen.add(name);
    await pipeline(entry, createWriteStream(join(path, name), { flags: 'wx', mode: 0o600 }));
    if (options.only === 'contents') break;
  }
  if (!seen.has(CONTENTS)) throw new Failure('integrity.format', `the dump has no ${CONTENTS}`);
}
