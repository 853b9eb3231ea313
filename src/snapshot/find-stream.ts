import type { StreamDocument } from '../archive/stream-documents.ts';
import type { Repository } from '../catalog/repository.ts';
import { listStreams, readStream } from '../catalog/streams.ts';
import { Failure } from '../model/failure.ts';
import type { CatalogReader, ServerFacts } from '../postgres/inventory.ts';
import { isSlotLost, readSlot } from '../postgres/slot.ts';

/**
 * The change stream that a snapshot can be tied to: the newest one of this source in this repository, if it is of this
 * very database and its slot still stands. It need not be captured just now, and whether it reaches the snapshot is told
 * when somebody asks (catalog/usability.ts).
 */
export async function findStream(
  repository: Repository,
  reader: CatalogReader,
  options: { readonly source: string; readonly facts: ServerFacts; readonly signal: AbortSignal },
): Promise<string | undefined> {
  const { source, facts, signal } = options;
  const newest = (await listStreams(repository, { source, signal })).at(-1);
  if (newest === undefined) return undefined;
  const document = await readUnlessBroken(repository, { source, stream: newest }, signal);
  if (document === undefined) return undefined;
  const { server, slot } = document;
  const isOurs =
    server.systemIdentifier === facts.systemIdentifier && server.databaseOid === Number(facts.databaseOid);
  if (!isOurs) return undefined;
  const found = await readSlot(reader, slot);
  return found === undefined || isSlotLost(found) ? undefined : newest;
}

/** A stream that can't be read is `verify`'s to name: it must not keep a backup from being taken. */
async function readUnlessBroken(
  repository: Repository,
  at: { readonly source: string; readonly stream: string },
  signal: AbortSignal,
): Promise<StreamDocument | undefined> {
  try {
    return (await readStream(repository, at, { signal })).document;
  } catch (error) {
    if (error instanceof Failure && error.code.startsWith('integrity.')) return undefined;
    throw error;
  }
}
