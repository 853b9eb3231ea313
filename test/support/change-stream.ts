import { segmentEncoder } from '../../src/archive/segment-writer.ts';
import { RunWriter } from '../../src/archive/run-writer.ts';
import { readPart, readSegment, recordsOf } from '../../src/archive/segment-reader.ts';
import type { StoredRun } from '../../src/archive/segment-reader.ts';
import { parseSegmentName, segmentName } from '../../src/archive/stream-names.ts';
import type { PackedPart } from '../../src/archive/segment-writer.ts';
import type { Opener, Sealer } from '../../src/archive/age.ts';
import type { Lsn } from '../../src/model/lsn.ts';
import { asLsn } from '../../src/model/lsn.ts';
import { TransactionAssembler } from '../../src/pgoutput/transaction-assembler.ts';

export const STREAM = '20261123T100159Z-7f3k2m';

/** One session's way from messages to runs, as capture goes it. */
export function session(options: {
  readonly start: Lsn;
  readonly memberBytes?: number;
  readonly sealer?: Sealer | undefined;
}): {
  readonly assembler: TransactionAssembler;
  readonly writer: RunWriter;
  readonly feed: (message: Buffer) => void;
} {
  const assembler = new TransactionAssembler({ start: options.start, origin: 'source' });
  const writer = new RunWriter({
    from: options.start,
    inForce: assembler.relations,
    memberBytes: options.memberBytes ?? 4 * 1024 * 1024,
    encode: segmentEncoder(options.sealer),
  });
  return { assembler, writer, feed: (message) => feed(assembler, writer, message) };
}

function feed(assembler: TransactionAssembler, writer: RunWriter, message: Buffer): void {
  switch (assembler.feed(message)) {
    case 'change':
      writer.change(message, assembler.relation);
      break;
    case 'begin':
      writer.begin(message, assembler);
      break;
    case 'commit':
      writer.commit(message, assembler.endLsn);
      break;
    case 'empty':
      writer.commitEmpty(assembler.endLsn);
      break;
    case 'definition':
      writer.describe(message, assembler.relation);
      break;
    case 'truncate':
      writer.truncate(message, assembler.truncated);
      break;
    case 'other':
      writer.add(message);
      break;
    case 'outside':
    case 'dropped':
      break;
  }
}

export async function* inChunks(bytes: Buffer, size = 1000): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** Every message of a segment but those that were in force, in order, parts included. */
export async function messagesOf(
  bytes: Buffer,
  name: string,
  options: { readonly opener?: Opener | undefined; readonly parts?: readonly PackedPart[] } = {},
): Promise<Buffer[]> {
  const stretch = parseSegmentName(name);
  if (stretch === undefined) throw new Error(`no segment: ${name}`);
  const messages: Buffer[] = [];
  for await (const run of readSegment(inChunks(bytes), { ...stretch, stream: STREAM, trust: undefined })) {
    for (const listed of run.facts.parts) {
      const part = options.parts?.find((candidate) => candidate.name === listed.name);
      const body = inChunks(part?.bytes ?? Buffer.alloc(0));
      for await (const record of readPart(body, listed, { stream: STREAM, opener: options.opener }))
        if (!record.inForce) messages.push(record.message);
    }
    for await (const record of recordsOfRun(run, options.opener))
      if (!record.inForce) messages.push(record.message);
  }
  return messages;
}

export async function* recordsOfRun(
  run: StoredRun,
  opener?: Opener,
): AsyncGenerator<{ readonly inForce: boolean; readonly message: Buffer }> {
  for await (const member of run.members())
    if (!member.facts.name.startsWith('transactions')) yield* await recordsOf(member, opener);
}

/** `name` of a segment that holds the runs. */
export function nameOf(runs: readonly { readonly from: Lsn; readonly to: Lsn }[]): string {
  return segmentName({ from: runs[0]?.from ?? asLsn(0n), to: runs.at(-1)?.to ?? asLsn(0n) });
}
