import { asLsn } from '../model/lsn.ts';
import type { Lsn } from '../model/lsn.ts';

/** First bytes of pgoutput messages, protocol 1 (manual: "Logical Replication Message Formats"). */
export const TAG = {
  begin: 0x42,
  commit: 0x43,
  origin: 0x4f,
  relation: 0x52,
  type: 0x59,
  insert: 0x49,
  update: 0x55,
  delete: 0x44,
  truncate: 0x54,
  message: 0x4d,
} as const;

/** The marks before a tuple. */
export const TUPLE = { new: 0x4e, key: 0x4b, old: 0x4f } as const;

export const BEGIN_BYTES = 21;
export const COMMIT_BYTES = 26;
/** Tag, relation, mark, number of columns. */
export const LEAST_CHANGE_BYTES = 8;

/**
 * Single fields by their place, for the path that every message takes: no object is made, and only what capture
 * needs is looked at. The caller has checked the tag and the length.
 */
export function firstOid(message: Buffer): number {
  return uint32(message, 1);
}

/** Begin's final LSN, which is also the commit's own: where the commit record starts. */
export function beginLsn(message: Buffer): Lsn {
  return asLsn(message.readBigUInt64BE(1));
}

export function beginTime(message: Buffer): bigint {
  return message.readBigInt64BE(9);
}

/** Top-level, unsigned. */
export function beginXid(message: Buffer): number {
  return uint32(message, 17);
}

export function commitLsn(message: Buffer): Lsn {
  return asLsn(message.readBigUInt64BE(2));
}

/** Just behind the commit record: the position up to which the stream is whole with this transaction. */
export function commitEndLsn(message: Buffer): Lsn {
  return asLsn(message.readBigUInt64BE(10));
}

export function messageIsTransactional(message: Buffer): boolean {
  return message[1] === 1;
}

export function messageLsn(message: Buffer): Lsn {
  return asLsn(message.readBigUInt64BE(2));
}

/** By hand: a call of readUInt32BE checks its arguments anew for each of some 10^5 messages a second. */
function uint32(bytes: Buffer, at: number): number {
  return (
    (bytes[at] ?? 0) * 0x1_00_00_00 +
    (((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0))
  );
}
