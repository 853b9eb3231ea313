import { readPart, readSegment, recordsOf } from '../../src/archive/segment-reader.ts';
import type { RunFacts } from '../../src/archive/stream-documents.ts';
import { openRepository } from '../../src/catalog/repository.ts';
import type { Repository } from '../../src/catalog/repository.ts';
import { StreamView } from '../../src/catalog/stream-view.ts';
import { listStreams, readGaps, readMarks } from '../../src/catalog/streams.ts';
import type { Lsn } from '../../src/model/lsn.ts';
import { decodeMessage } from '../../src/pgoutput/decode.ts';
import { openStore } from '../../src/storage/open-store.ts';
import type { StoreSettings } from '../../src/storage/open-store.ts';

interface StoredTransaction {
  readonly xid: number;
  readonly commitLsn: Lsn;
  readonly endLsn: Lsn;
  /** First columns of the rows of each table that were inserted, in order. */
  readonly inserted: Readonly<Record<string, readonly string[]>>;
  readonly changes: number;
}

export interface StoredStream {
  readonly id: string;
  readonly start: Lsn;
  /** Where the unbroken part ends. */
  readonly to: Lsn;
  readonly pieces: number;
  readonly runs: readonly RunFacts[];
  /** In commit order; those that a reader has seen are dropped. */
  readonly transactions: readonly StoredTransaction[];
}

const { signal } = new AbortController();

/** All that a repository holds of the streams of source main, read as FORMAT.md says. */
export async function storedStreams(settings: StoreSettings): Promise<StoredStream[]> {
  const store = await openStore(settings);
  try {
    const repository = await openRepository(store, { signal, signer: undefined, trust: undefined });
    const streams: StoredStream[] = [];
    for (const stream of await listStreams(repository, { source: 'main', signal }))
      streams.push(await readStored(repository, stream));
    return streams;
  } finally {
    await store.close();
  }
}

export async function storedWords(settings: StoreSettings): Promise<{
  readonly gaps: Awaited<ReturnType<typeof readGaps>>;
  readonly marks: Awaited<ReturnType<typeof readMarks>>;
}> {
  const store = await openStore(settings);
  try {
    const repository = await openRepository(store, { signal, signer: undefined, trust: undefined });
    const of = { source: 'main', signal };
    return { gaps: await readGaps(repository, of), marks: await readMarks(repository, of) };
  } finally {
    await store.close();
  }
}

async function readStored(repository: Repository, stream: string): Promise<StoredStream> {
  const view = await StreamView.open(repository, { source: 'main', stream }, { signal });
  const runs: RunFacts[] = [];
  const transactions: StoredTransaction[] = [];
  for (const entry of view.pieces.flat()) {
    for (const segment of await view.segmentsOf(entry)) {
      const body = await repository.store.get(segment.key, { signal });
      for await (const run of readSegment(body, {
        from: segment.from,
        to: segment.to,
        stream,
        trust: undefined,
      })) {
        runs.push(run.facts);
        const messages = messagesOf(repository, stream, run);
        for await (const transaction of transactionsIn(messages))
          if (transaction.commitLsn > (transactions.at(-1)?.commitLsn ?? -1n)) transactions.push(transaction);
      }
    }
  }
  const to = view.pieces[0]?.at(-1)?.to ?? view.start;
  return { id: stream, start: view.start, to, pieces: view.pieces.length, runs, transactions };
}

async function* messagesOf(
  repository: Repository,
  stream: string,
  run: Awaited<ReturnType<typeof readSegment>> extends AsyncGenerator<infer R> ? R : never,
): AsyncGenerator<Buffer> {
  for (const part of run.facts.parts) {
    const body = await repository.store.get(`sources/main/streams/${stream}/${part.name}`, { signal });
    for await (const record of readPart(body, part, { stream, opener: undefined })) yield record.message;
  }
  for await (const member of run.members()) {
    if (member.facts.name.startsWith('transactions')) continue;
    for (const record of await recordsOf(member, undefined)) yield record.message;
  }
}

async function* transactionsIn(messages: AsyncIterable<Buffer>): AsyncGenerator<StoredTransaction> {
  const names = new Map<number, string>();
  let open: { xid: number; inserted: Record<string, string[]>; changes: number } | undefined;
  for await (const bytes of messages) {
    const message = decodeMessage(bytes, 'storage');
    if (message.kind === 'relation') names.set(message.oid, `${message.schema}.${message.name}`);
    if (message.kind === 'begin') open = { xid: message.xid, inserted: {}, changes: 0 };
    if (open === undefined) continue;
    if (message.kind === 'update' || message.kind === 'delete') open.changes += 1;
    if (message.kind === 'insert') {
      const table = names.get(message.relation) ?? '';
      open.changes += 1;
      const first = message.row.columns === 0 ? undefined : message.row.value(0);
      (open.inserted[table] ??= []).push(first?.toString('latin1') ?? '');
    }
    if (message.kind === 'commit') {
      yield { ...open, commitLsn: message.commitLsn, endLsn: message.endLsn };
      open = undefined;
    }
  }
}
