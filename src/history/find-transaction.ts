import type { StreamView } from '../catalog/stream-view.ts';
import { asLsn } from '../model/lsn.ts';
import { widenXid } from '../model/xid.ts';
import { readLog } from './read-log.ts';
import type { LoggedTransaction, LogRange } from './read-log.ts';

const EPOCH = 0x1_0000_0000n;

/**
 * The transaction of a 64-bit xid in a stream, or undefined. Begins at the newest heartbeat that is older than it,
 * and reads transaction columns from there on: the key is needed when they are encrypted.
 */
export async function findTransaction(
  view: StreamView,
  xid: bigint,
  options: Parameters<typeof readLog>[1],
): Promise<LoggedTransaction | undefined> {
  const end = view.covered.at(-1)?.to;
  if (end === undefined) return undefined;
  const heartbeat = await view.heartbeatBelow(xid, asLsn(end + 1n));
  const range: LogRange = heartbeat === undefined ? {} : { fromLsn: heartbeat.position };
  for await (const transaction of readLog(view, { ...options, ...range }))
    if (widenXid(transaction.xid, xid) === xid) return transaction;
  return undefined;
}

/**
 * The 64-bit xids that a number can mean: itself when it has more than 32 bits, else those with its low bits that
 * the stream's transactions can have, by its first and last heartbeats.
 */
export async function meantXids(view: StreamView, xid: bigint): Promise<bigint[]> {
  if (xid >= EPOCH) return [xid];
  const entries = view.pieces.flat();
  const beats = [];
  for (const entry of [entries[0], entries.at(-1)])
    if (entry !== undefined) beats.push(...(await view.runsOf(entry)).flatMap((run) => run.heartbeats));
  const known = beats.map((beat) => beat.xid).sort((a, b) => (a < b ? -1 : 1));
  const [low, high] = [known[0], known.at(-1)];
  if (low === undefined || high === undefined) return [xid];
  // A transaction may be as old as half an epoch when it commits, and may have begun after the last heartbeat.
  const first = widenXid(Number(xid), low);
  const found: bigint[] = [];
  for (let meant = first; meant <= widenXid(Number(xid), high); meant += EPOCH) found.push(meant);
  return found;
}
