import type { CommitTime } from '../model/commit-time.ts';
import { formatLsn } from '../model/lsn.ts';
import type { Lsn } from '../model/lsn.ts';
import type { Sealer } from './age.ts';
import { encodePart } from './codec.ts';
import { sha256Hex } from './digest.ts';
import { release } from './external-memory.ts';
import { FORMAT_VERSION } from './manifest.ts';
import type { CutMember } from './record-buffer.ts';
import { writeInForce } from './record.ts';
import {
  RUN_DOCUMENT,
  RUN_SIGNATURE,
  changesName,
  encodeRunDocument,
  transactionsName,
} from './run-document.ts';
import type { TakenPart, TakenRun } from './run-writer.ts';
import type { Signer } from './signature.ts';
import type { PartFacts, RunFacts, StoredMemberFacts } from './stream-documents.ts';
import { partName } from './stream-names.ts';
import { TarWriter } from './tar-writer.ts';

interface NamedBytes {
  readonly name: string;
  readonly bytes: Buffer;
}

/** A run as it is stored, wherever: a merge copies it as it is. */
export interface PackedRun {
  readonly facts: RunFacts;
  readonly chain: string;
  /** `segment.json`, behind its signature if there is one, then the members that it lists. */
  readonly members: readonly NamedBytes[];
}

export interface PackedPart {
  readonly name: string;
  readonly bytes: Buffer;
  /** For the run that closes the transaction. */
  readonly listed: RunFacts['parts'][number];
}

/** How plaintext becomes stored bytes, also for `RunWriter`. */
export function segmentEncoder(sealer: Sealer | undefined): (plain: Buffer) => Promise<Buffer> {
  return (plain) => encodePart(plain, { compression: 'zstd', sealer });
}

/**
 * Finishes a run: waits for its members, writes its facts, and gives it its place in the chain. Runs are packed in
 * the order of the stream, since each needs the digest of the one before.
 */
export async function packRun(
  taken: TakenRun,
  how: {
    readonly stream: string;
    readonly previous: string;
    readonly sealer: Sealer | undefined;
    readonly heartbeats: RunFacts['heartbeats'];
    readonly schemaChanges?: RunFacts['schemaChanges'];
    readonly ddl: RunFacts['ddl'];
    /** Vouches for the run's facts, and by their digests for all that it holds. */
    readonly signer?: Signer | undefined;
    readonly parts?: readonly Pick<PackedPart, 'listed'>[];
  },
): Promise<PackedRun> {
  const encryptedTo = [...(how.sealer?.fingerprints ?? [])];
  const transactions = taken.columns.count;
  const index =
    transactions === 0
      ? []
      : [await encodeMember(transactionsName(encryptedTo), taken.columns.encode(), how.sealer)];
  const members = [...index, ...(await changeMembers(taken, encryptedTo, how.sealer))];
  const facts: RunFacts = {
    formatVersion: FORMAT_VERSION,
    kind: 'tidemark-run',
    stream: how.stream,
    from: formatLsn(taken.from),
    to: formatLsn(taken.to),
    previous: how.previous,
    transactions,
    ...timeFact('minCommitTime', taken.minCommitTime),
    ...timeFact('maxCommitTime', taken.maxCommitTime),
    ...timeFact('latestCommitTime', taken.latestCommitTime),
    tables: [...taken.tables],
    messages: taken.messages,
    heartbeats: how.heartbeats,
    ...(how.schemaChanges !== undefined && { schemaChanges: how.schemaChanges }),
    ddl: how.ddl,
    encryptedTo,
    plainBytes: taken.plainBytes,
    parts: (how.parts ?? []).map((part) => part.listed),
    members: members.map((member) => member.facts),
  };
  const { bytes, chain } = encodeRunDocument(facts);
  const signature = how.signer === undefined ? [] : [{ name: RUN_SIGNATURE, bytes: how.signer.sign(bytes) }];
  return { facts, chain, members: [...signature, { name: RUN_DOCUMENT, bytes }, ...members] };
}

/** Finishes a piece of the transaction that commits at `finalLsn`. */
export async function packPart(
  taken: TakenPart,
  how: {
    readonly stream: string;
    readonly finalLsn: Lsn;
    readonly attempt: string;
    readonly number: number;
    readonly sealer: Sealer | undefined;
    readonly modified: Date;
  },
): Promise<PackedPart> {
  const encryptedTo = [...(how.sealer?.fingerprints ?? [])];
  const members = await changeMembers(taken, encryptedTo, how.sealer);
  const facts: PartFacts = {
    formatVersion: FORMAT_VERSION,
    kind: 'tidemark-part',
    stream: how.stream,
    finalLsn: formatLsn(how.finalLsn),
    attempt: how.attempt,
    number: how.number,
    encryptedTo,
    plainBytes: taken.plainBytes,
    members: members.map((member) => member.facts),
  };
  const json = Buffer.from(`${JSON.stringify(facts)}\n`, 'utf8');
  const bytes = await tar([{ name: 'part.json', bytes: json }, ...members], how.modified);
  const name = partName(how);
  const listed = { name, sizeBytes: bytes.length, sha256: sha256Hex(bytes), plainBytes: taken.plainBytes };
  return { name, bytes, listed };
}

/**
 * One object of one or more runs that follow each other: `<n>/…` for each, from 1. Needs no key. The members' memory
 * is given back: a run is packed once.
 */
export function packSegment(
  runs: readonly Pick<PackedRun, 'members'>[],
  options: { readonly modified: Date },
): Promise<Buffer> {
  const members = runs.flatMap((run, index) =>
    run.members.map(({ name, bytes }) => ({ name: `${index + 1}/${name}`, bytes })),
  );
  return tar(members, options.modified);
}

async function changeMembers(
  taken: { readonly inForce: readonly Buffer[]; readonly members: readonly CutMember[] },
  encryptedTo: readonly string[],
  sealer: Sealer | undefined,
): Promise<(NamedBytes & { readonly facts: StoredMemberFacts })[]> {
  // Without relations there is nothing in force; the number stays free then, and the first slice is 0000.
  const first =
    taken.inForce.length === 0
      ? []
      : [await encodeMember(changesName(0, encryptedTo), writeInForce(taken.inForce), sealer)];
  const slices = await Promise.all(
    taken.members.map(async ({ stored, plainBytes }, index) =>
      describe(changesName(index + first.length, encryptedTo), await stored, plainBytes),
    ),
  );
  return [...first, ...slices];
}

async function encodeMember(
  name: string,
  plain: Buffer,
  sealer: Sealer | undefined,
): Promise<NamedBytes & { readonly facts: StoredMemberFacts }> {
  return describe(name, await segmentEncoder(sealer)(plain), plain.length);
}

function describe(
  name: string,
  bytes: Buffer,
  plainBytes: number,
): NamedBytes & { readonly facts: StoredMemberFacts } {
  return { name, bytes, facts: { name, sizeBytes: bytes.length, sha256: sha256Hex(bytes), plainBytes } };
}

function timeFact<Name extends string>(name: Name, time: CommitTime | undefined): { [key in Name]?: string } {
  return (time === undefined ? {} : { [name]: time.toString() }) as { [key in Name]?: string };
}

/**
 * Small enough for memory, so that a put can be tried again; a body of unknown length could not. The writer gives
 * each member's memory back once it was read, so what comes is copied at once.
 */
async function tar(members: readonly NamedBytes[], modified: Date): Promise<Buffer> {
  const writer = new TarWriter({ modified });
  const copied = Array.fromAsync(writer.body, (chunk) => Buffer.from(chunk));
  for (const { name, bytes } of members) await writer.add(name, bytes);
  await writer.finish();
  const chunks = await copied;
  const whole = Buffer.concat(chunks);
  for (const chunk of chunks) release(chunk);
  return whole;
}
