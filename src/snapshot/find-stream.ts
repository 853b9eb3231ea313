import type { StreamDocument } from '../archive/stream-documents.ts';
import type { Repository } from '../catalog/repository.ts';
import { listStreams, readStream } from '../catalog/streams.ts';
import { Failure } from '../model/failure.ts';
import type { CatalogReader, ServerFacts } from '../postgres/inventory.ts';
import { isSlotLost, readSlot } from '../postgres/slot.ts';

/**
 * The change stream that a snapshot can be tied to: the newest one of this source in a repository, if it is of this
 * very database and its slot still stands; of several repositories, the first one whose stream is read just now, else
 * the first. It need not be captured just now, and whether it reaches the snapshot is told when somebody asks
 * (catalog/usability.ts).
 */
export async function findStream(
  repositories: readonly Repository[],
  reader: CatalogReader,
  options: { readonly source: string; readonly facts: ServerFacts; readonly signal: AbortSignal },
): Promise<string | undefined> {
  const { source, facts, signal } = options;
  const found: { readonly id: string; readonly isRead: boolean }[] = [];
  for (const repository of repositories) {
    const id = (await listStreams(repository, { source, signal })).at(-1);
    if (id === undefined) continue;
    const document = await readUnlessBroken(repository, { source, stream: id }, signal);
    if (document === undefined) continue;
    const { server, slot: name } = document;
    const isOurs =
      server.systemIdentifier === facts.systemIdentifier && server.databaseOid === Number(facts.databaseOid);
    const slot = isOurs ? await readSlot(reader, name) : undefined;
    if (slot !== undefined && !isSlotLost(slot)) found.push({ id, isRead: slot.activePid !== null });
  }
  return (found.find(({ isRead }) => isRead) ?? found[0])?.id;
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
