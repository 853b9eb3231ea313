import { cutSchema } from '../archive/retention-documents.ts';
import type { CutDocument } from '../archive/retention-documents.ts';
import { lsnOf } from '../archive/run-document.ts';
import { Failure } from '../model/failure.ts';
import { lsnKey } from '../model/lsn.ts';
import { encodeDocument, readDocument } from './documents.ts';
import { keys } from './keys.ts';
import { putSigned } from './publish-stream.ts';
import type { Repository } from './repository.ts';
import type { StreamAddress } from './streams.ts';

interface CallOptions {
  readonly signal: AbortSignal;
}

/**
 * The newest word on what was taken from a stream's beginning; undefined: nothing was. Fails with `integrity.format`
 * where it is of another stream, with `trust` also as `readDocument` does.
 */
export async function readCut(
  repository: Repository,
  at: StreamAddress,
  options: CallOptions,
): Promise<CutDocument | undefined> {
  const { store, trust } = repository;
  const found = await Array.fromAsync(store.list(keys.cuts(at.source, at.stream), options));
  // Names are positions, so the last one is the furthest.
  const key = found.findLast((object) => object.key.endsWith('.json'))?.key;
  if (key === undefined) return undefined;
  const read = await readDocument(store, key, { schema: cutSchema, trust, signal: options.signal });
  if (read === undefined) return undefined;
  const { source, stream, at: position } = read.document;
  if (source !== at.source || stream !== at.stream || key !== keyOf(read.document))
    throw new Failure('integrity.format', `${key} belongs to another stream, or position`, {
      facts: { object: key, position },
    });
  return read.document;
}

/** Says that what lies before a position goes: to be stored before the first object goes. One that is there stays. */
export async function publishCut(
  repository: Repository,
  cut: CutDocument,
  options: CallOptions,
): Promise<void> {
  const key = keyOf(cut);
  if ((await repository.store.stat(key, options)) !== undefined) return;
  await putSigned(repository, { key, bytes: encodeDocument(cutSchema.parse(cut)) }, options);
}

function keyOf({ source, stream, at }: CutDocument): string {
  return keys.cut(source, stream, lsnKey(lsnOf(at)));
}
