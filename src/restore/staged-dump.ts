import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Manifest } from '../archive/manifest.ts';
import { unpackDirectory } from '../archive/directory-tar.ts';
import { readPart } from '../catalog/read-part.ts';
import { Failure } from '../model/failure.ts';
import { failpoint } from '../runtime/failpoints.ts';
import { openStaging } from '../runtime/staging.ts';
import type { RestoreRequest } from './request.ts';

/** Where pg_restore finds a dump: a file or folder that was brought into staging, or a stream. */
export interface DumpInput {
  /** Last argument of pg_restore. */
  readonly args: readonly string[];
  readonly stdin?: AsyncIterable<Uint8Array>;
}

/**
 * For a snapshot of engine pg_dump, brings its dump into staging, where a folder for it is named. Fails with
 * `staging.required` where the dump can't be read as a stream: one of several connections is a folder of files.
 */
export async function stageDump(
  request: RestoreRequest,
  options: { readonly only?: 'contents' },
): Promise<{ readonly request: RestoreRequest } & AsyncDisposable> {
  const { manifest, staging: root } = request;
  const part = fullPart(manifest);
  const isFolder = part?.role === 'full-directory';
  if (part === undefined || (root === undefined && !isFolder) || (options.only !== undefined && !isFolder))
    return { request, [Symbol.asyncDispose]: () => Promise.resolve() };
  if (root === undefined) {
    throw new Failure(
      'staging.required',
      `snapshot ${manifest.id} was dumped by several connections and can't be restored from a stream`,
      { facts: { snapshot: manifest.id } },
    );
  }
  const bytes = options.only === 'contents' ? 0 : part.sizeBytes;
  const staging = await openStaging(root, { bytes, what: 'this dump' });
  try {
    const path = join(staging.path, 'full');
    const body = readPart({ repository: request.repository, manifest, part }, { ...request, proof: 'last' });
    if (isFolder) await unpackDirectory(body, path, { maxBytes: part.sizeBytes, ...options });
    else await pipeline(body, createWriteStream(path, { flags: 'wx', mode: 0o600 }));
    await failpoint('restore.dump-staged');
    return {
      request: { ...request, stagedDump: path },
      [Symbol.asyncDispose]: () => staging[Symbol.asyncDispose](),
    };
  } catch (error) {
    await staging[Symbol.asyncDispose]();
    if (error instanceof Error && 'code' in error && error.code === 'ENOSPC')
      throw new Failure('staging.space', `${root} is full`, { facts: { directory: root }, cause: error });
    throw error;
  }
}

/** The dump of a snapshot of engine pg_dump. */
function fullPart(manifest: Manifest): Manifest['parts'][number] | undefined {
  return manifest.parts.find(({ role }) => role === 'full-custom' || role === 'full-directory');
}

/** What pg_restore is to read: the schema dump of engine copy, or the whole dump of engine pg_dump. */
export function dumpInput(
  request: Pick<RestoreRequest, 'repository' | 'manifest' | 'opener' | 'signal' | 'stagedDump'>,
): DumpInput {
  const { repository, manifest, stagedDump } = request;
  if (stagedDump !== undefined) return { args: [stagedDump] };
  const part = manifest.parts.find(({ role }) => role === 'schema') ?? fullPart(manifest);
  if (part === undefined) {
    throw new Failure('integrity.format', `snapshot ${manifest.id} has no schema`, {
      facts: { snapshot: manifest.id },
    });
  }
  return { args: [], stdin: readPart({ repository, manifest, part }, { ...request, proof: 'first' }) };
}
