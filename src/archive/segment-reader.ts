import { Failure } from '../model/failure.ts';
import { formatLsn } from '../model/lsn.ts';
import type { Opener } from './age.ts';
import { decodePart } from './codec.ts';
import { checked, sha256Hex } from './digest.ts';
import { parseDocument } from './document.ts';
import { readRecords } from './record.ts';
import type { StoredRecord } from './record.ts';
import { assertFollows, lsnOf, transactionsName } from './run-document.ts';
import type { RunDocument } from './run-document.ts';
import { MAX_FACTS_BYTES, readRunHead } from './run-head.ts';
import type { RunHead } from './run-head.ts';
import type { Trust } from './signature.ts';
import { partFactsSchema } from './stream-documents.ts';
import type { RunFacts, StoredMemberFacts } from './stream-documents.ts';
import { segmentName } from './stream-names.ts';
import type { Stretch } from './stream-names.ts';
import { TarReader } from './tar-reader.ts';
import { readTransactions } from './transaction-columns.ts';
import type { TransactionEntry } from './transaction-columns.ts';

/** A member as stored; its digest was right. */
export interface StoredMember {
  readonly facts: StoredMemberFacts;
  readonly bytes: Buffer;
}

export interface StoredRun extends RunDocument {
  /** `segment.json` as stored, behind its signature if there is one: for a merge. */
  readonly head: RunHead['members'];
  /**
   * In the archive's order, each checked; once, and before the next run is asked for. What is left unread is
   * checked all the same.
   */
  members(): AsyncGenerator<StoredMember>;
}

/**
 * The runs of a segment, in order. Needs no key: facts, digests and chain are checked, and with `trust` each run's
 * signature, whatever is done with the members. Memory: one member. Fails with `integrity.*`, or `repository.newer_format`, on anything that is not just
 * what a writer stored under this name; runs already yielded were right.
 */
export async function* readSegment(
  body: AsyncIterable<Uint8Array>,
  expected: Stretch & { readonly stream: string; readonly trust: Trust | undefined },
): AsyncGenerator<StoredRun> {
  const options = { object: segmentName(expected), trust: expected.trust };
  await using tar = new TarReader(body);
  let before: RunDocument | undefined;
  for (let number = 1; ; number += 1) {
    const head = await readRunHead(tar, number, options);
    if (head === undefined) break;
    const { run } = head;
    const from = before === undefined ? formatLsn(expected.from) : before.facts.to;
    if (run.facts.stream !== expected.stream || run.facts.from !== from)
      throw broken(`holds a run that is not the one at ${from}`);
    if (before !== undefined) assertFollows(before, run);
    before = run;
    let reading: AsyncGenerator<StoredMember> | undefined;
    yield {
      ...run,
      head: head.members,
      members: () => (reading ??= readMembers(tar, run.facts, `${number}/`)),
    };
    reading ??= readMembers(tar, run.facts, `${number}/`);
    while ((await reading.next()).done !== true);
  }
  if (before === undefined || lsnOf(before.facts.to) !== expected.to)
    throw broken('does not reach as far as its name says');
}

/** The records of a piece of a transaction, which a run lists. What was yielded is proven only at its end. */
export async function* readPart(
  body: AsyncIterable<Uint8Array>,
  listed: RunFacts['parts'][number],
  how: { readonly stream: string; readonly opener: Opener | undefined },
): AsyncGenerator<StoredRecord> {
  await using tar = new TarReader(checked(body, { ...listed, key: listed.name }));
  const entry = await tar.next();
  if (entry?.name !== 'part.json' || entry.sizeBytes > MAX_FACTS_BYTES) throw broken('is no part');
  const facts = parseDocument(await tar.content(), 'part.json', partFactsSchema);
  if (facts.stream !== how.stream || facts.plainBytes !== listed.plainBytes) throw broken('is another part');
  for await (const member of readMembers(tar, facts, '')) yield* await recordsOf(member, how.opener);
  if ((await tar.next()) !== undefined) throw broken('has a member that its facts do not list');
}

/** The member behind a run's `segment.json`, checked: that of its transactions, if it has any. */
export async function readFirstMember(
  tar: TarReader,
  facts: RunFacts,
  folder: string,
): Promise<StoredMember | undefined> {
  const { done, value } = await readMembers(tar, facts, folder).next();
  return done === true ? undefined : value;
}

/** The records of one member of changes; views of plaintext that lives as long as they do. */
export async function recordsOf(
  member: StoredMember,
  opener: Opener | undefined,
): Promise<Iterable<StoredRecord>> {
  return readRecords(await plaintext(member, opener));
}

/** The transactions of a run, when `member` is the one that has them; undefined for others. */
export async function transactionsOf(
  member: StoredMember,
  run: RunFacts,
  opener: Opener | undefined,
): Promise<Iterable<TransactionEntry> | undefined> {
  if (member.facts.name !== transactionsName(run.encryptedTo)) return undefined;
  return readTransactions(await plaintext(member, opener), {
    from: lsnOf(run.from),
    to: lsnOf(run.to),
    transactions: run.transactions,
    tables: run.tables.length,
    plainBytes: run.plainBytes,
  });
}

function plaintext(member: StoredMember, opener: Opener | undefined): Promise<Buffer> {
  const isEncrypted = member.facts.name.endsWith('.age');
  if (isEncrypted && opener === undefined) throw new Failure('key.missing', 'these changes are encrypted');
  return decodePart(member.bytes, {
    compression: 'zstd',
    opener: isEncrypted ? opener : undefined,
    copyBytes: member.facts.plainBytes,
  });
}

async function* readMembers(
  tar: TarReader,
  facts: { readonly members: readonly StoredMemberFacts[]; readonly encryptedTo: readonly string[] },
  folder: string,
): AsyncGenerator<StoredMember> {
  for (const member of facts.members) {
    const entry = await tar.next();
    if (entry?.name !== `${folder}${member.name}` || entry.sizeBytes !== member.sizeBytes)
      throw broken(`lacks the member ${folder}${member.name}`);
    const bytes = await tar.content();
    if (sha256Hex(bytes) !== member.sha256) {
      throw new Failure('integrity.digest', `the member ${entry.name} is not what was stored`, {
        facts: { member: entry.name },
      });
    }
    yield { facts: member, bytes };
  }
}

function broken(what: string): Failure {
  return new Failure('integrity.format', `an object of a change stream ${what}`);
}
