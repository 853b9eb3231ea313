import type { Opener } from '../archive/age.ts';
import type { StoredRecord } from '../archive/record.ts';
import { transactionsName } from '../archive/run-document.ts';
import { readPart, readSegment, recordsOf } from '../archive/segment-reader.ts';
import type { RunFacts } from '../archive/stream-documents.ts';
import type { Stretch } from '../archive/stream-names.ts';
import { keys } from './keys.ts';
import type { Repository } from './repository.ts';
import type { StreamAddress } from './streams.ts';

/** Records of a large transaction's part that are handed on at once. */
const RECORDS_AT_ONCE = 1000;

/**
 * The records of segments in the order of the stream, parts in their run's place, some at a time. Everything is
 * checked on the way; a part's digest is proven at its end. Fails with `integrity.*`, or `key.missing`.
 */
export async function* readChanges(
  repository: Repository,
  at: StreamAddress,
  what: {
    readonly segments: readonly (Stretch & { readonly key: string })[];
    readonly opener: Opener | undefined;
    readonly signal: AbortSignal;
    /** Before the records of a run. */
    readonly onRun?: (facts: RunFacts) => void;
    /** Stored bytes that were read. */
    readonly onSegment?: (segment: Stretch & { readonly key: string }) => void;
  },
): AsyncGenerator<Iterable<StoredRecord>> {
  const { store, trust } = repository;
  const { signal, opener } = what;
  for (const segment of what.segments) {
    const expected = { from: segment.from, to: segment.to, stream: at.stream, trust };
    for await (const run of readSegment(await store.get(segment.key, { signal }), expected)) {
      what.onRun?.(run.facts);
      for (const listed of run.facts.parts) {
        const body = await store.get(keys.streamObject(at.source, at.stream, listed.name), { signal });
        yield* inGroups(readPart(body, listed, { stream: at.stream, opener }));
      }
      for await (const member of run.members()) {
        if (member.facts.name !== transactionsName(run.facts.encryptedTo))
          yield await recordsOf(member, opener);
      }
    }
    what.onSegment?.(segment);
  }
}

async function* inGroups(records: AsyncIterable<StoredRecord>): AsyncGenerator<StoredRecord[]> {
  let group: StoredRecord[] = [];
  for await (const record of records) {
    group.push(record);
    if (group.length < RECORDS_AT_ONCE) continue;
    yield group;
    group = [];
  }
  if (group.length > 0) yield group;
}
