import { createHash } from 'node:crypto';
import { Failure } from '../model/failure.ts';
import { parseLsn } from '../model/lsn.ts';
import type { Lsn } from '../model/lsn.ts';
import { parseDocument } from './document.ts';
import { sha256Hex } from './digest.ts';
import { runFactsSchema } from './stream-documents.ts';
import type { RunFacts } from './stream-documents.ts';

/** What a run's `segment.json` says, and the digest that it has in the chain. */
export interface RunDocument {
  readonly facts: RunFacts;
  /** SHA-256 of: the digest before, the facts' own, the members' in order. Each as 32 bytes. */
  readonly chain: string;
}

/** A run's first members: what it says of itself, behind the signature over just those bytes where it is signed. */
export const RUN_DOCUMENT = 'segment.json';
export const RUN_SIGNATURE = 'segment.sig';

const HEAD = '{"facts":';
const MIDDLE = ',"chain":"';
const TAIL = '"}\n';
const DIGEST_CHARACTERS = 64;
const AFTER_FACTS = MIDDLE.length + DIGEST_CHARACTERS + TAIL.length;

/**
 * One line, JSON: `{"facts":…,"chain":"…"}`. The chain digest covers the facts' bytes just as they stand between the
 * two, so nobody needs a canonical form of JSON to check it.
 */
export function encodeRunDocument(facts: RunFacts): { readonly bytes: Buffer; readonly chain: string } {
  const text = Buffer.from(JSON.stringify(facts), 'utf8');
  const chain = chainDigest(text, facts);
  return { bytes: Buffer.concat([Buffer.from(HEAD), text, Buffer.from(`${MIDDLE}${chain}${TAIL}`)]), chain };
}

/** Undoes it; any changed byte is `integrity.format` or `integrity.digest`. */
export function parseRunDocument(bytes: Buffer, name: string): RunDocument {
  const end = bytes.length - AFTER_FACTS;
  const chain = bytes.toString('latin1', end + MIDDLE.length, bytes.length - TAIL.length);
  const isFramed =
    end > HEAD.length &&
    bytes.toString('latin1', 0, HEAD.length) === HEAD &&
    bytes.toString('latin1', end, end + MIDDLE.length) === MIDDLE &&
    bytes.toString('latin1', bytes.length - TAIL.length) === TAIL;
  if (!isFramed) throw broken(name, 'is not framed as one');
  const text = bytes.subarray(HEAD.length, end);
  const facts = parseDocument(text, name, runFactsSchema);
  if (chainDigest(text, facts) !== chain) {
    throw new Failure('integrity.digest', `${name} is not what was stored`, { facts: { object: name } });
  }
  checkFacts(facts, name);
  return { facts, chain };
}

/** A position of a document that fits its schema. */
export function lsnOf(text: string): Lsn {
  const lsn = parseLsn(text);
  if (lsn === undefined) throw new Failure('integrity.format', 'a document has a position that is none');
  return lsn;
}

/**
 * Whether a run is the next one of its stream. Fails with `integrity.chain`, naming where: between them something
 * is missing, or was replaced (I 44).
 */
export function assertFollows(
  before: RunDocument | { readonly start: string; readonly streamSha256: string },
  next: RunDocument,
): void {
  const expected =
    'facts' in before
      ? { from: before.facts.to, chain: before.chain }
      : { from: before.start, chain: before.streamSha256 };
  const { from, previous } = next.facts;
  if (lsnOf(from) === lsnOf(expected.from) && previous === expected.chain) return;
  const what = from === expected.from ? 'is not what the run after it was chained to' : `has no run after it`;
  throw new Failure(
    'integrity.chain',
    `the stream up to ${expected.from} ${what}; the next run is from ${from}`,
    {
      facts: { expectedFrom: expected.from, from },
    },
  );
}

function chainDigest(facts: Buffer, { previous, members }: RunFacts): string {
  const digest = createHash('sha256').update(previous, 'hex').update(sha256Hex(facts), 'hex');
  for (const member of members) digest.update(member.sha256, 'hex');
  return digest.digest('hex');
}

/** What no schema can say. */
function checkFacts(facts: RunFacts, name: string): void {
  const from = lsnOf(facts.from);
  const to = lsnOf(facts.to);
  if (to < from || (to === from && facts.transactions > 0)) throw broken(name, 'ends before it starts');
  const changes = facts.members.filter((member) => member.name !== transactionsName(facts.encryptedTo));
  if (facts.transactions > 0 && facts.members.length - changes.length !== 1)
    throw broken(name, 'lacks its transactions');
  for (const [index, member] of changes.entries()) {
    if (member.name !== changesName(index, facts.encryptedTo))
      throw broken(name, 'has members that do not follow');
  }
}

/** `transactions.zst[.age]`. */
export function transactionsName(encryptedTo: readonly string[]): string {
  return `transactions.zst${encryptedTo.length > 0 ? '.age' : ''}`;
}

/** `NNNN.pgoutput.zst[.age]`; 0000 has the messages in force. */
export function changesName(number: number, encryptedTo: readonly string[]): string {
  return `${String(number).padStart(4, '0')}.pgoutput.zst${encryptedTo.length > 0 ? '.age' : ''}`;
}

function broken(name: string, what: string): Failure {
  return new Failure('integrity.format', `${name} ${what}`, { facts: { object: name } });
}
