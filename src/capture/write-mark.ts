import { Failure } from '../model/failure.ts';
import type { CommitTime } from '../model/commit-time.ts';
import { parseLsn } from '../model/lsn.ts';
import type { Lsn } from '../model/lsn.ts';
import type { Connection } from '../postgres/connection.ts';
import { answerInTime } from '../postgres/pulse.ts';
import { sqlFile } from '../postgres/sql-file.ts';
import { signedMessage } from './own-messages.ts';
import type { Signature } from './own-messages.ts';
import { readSignature, readSourceId } from './read-gate-facts.ts';

/** What the source knows of a mark. Its commit time comes with the stream. */
export interface WrittenMark {
  readonly xid: bigint;
  /** The mark committed before this position: once everything before it is stored, the mark is. */
  readonly lsn: Lsn;
  /** The server's clock, just before the commit. */
  readonly time: CommitTime;
}

const NOT_PERMITTED = '42501';

/**
 * Writes a named point into the change stream: a transaction of its own, durable here but waiting for no standby. Fails
 * with `source.not_set_up` where no capture would ever see it, with `source.permission` where this role can't sign it.
 * `slotPrefix`: how the slots of this source's captures begin.
 */
export async function writeMark(
  session: Connection,
  mark: { readonly name: string; readonly slotPrefix: string },
): Promise<WrittenMark> {
  const signature = await answerInTime(session, findSignature(session, mark.slotPrefix));
  return answerInTime(session, write(session, mark.name, signature));
}

async function findSignature(session: Connection, slotPrefix: string): Promise<Signature> {
  try {
    const [source] = await session.query<{
      inRecovery: boolean;
      installed: boolean;
      hasSecret: boolean;
      hasSlot: boolean;
    }>(sqlFile('introspect/mark-source'), [slotPrefix]);
    if (source?.inRecovery === true)
      throw new Failure('source.standby', 'the server is a standby: marks are written on the primary');
    if (source?.installed !== true || !source.hasSlot)
      throw new Failure(
        'source.not_set_up',
        'the source is not set up for change capture: no mark would be kept',
      );
    if (!source.hasSecret)
      throw new Failure('source.not_set_up', 'the source has no secret to sign marks with', {
        remedy: 'have a superuser run what `tidemark init --capture --print-sql` prints',
      });
    const sourceId = await readSourceId(session);
    const signature = sourceId === undefined ? undefined : await readSignature(session, sourceId);
    if (signature !== undefined) return signature;
  } catch (error) {
    if (!(error instanceof Failure) || error.facts['sqlstate'] !== NOT_PERMITTED) throw error;
  }
  // Row security shows other roles an empty table.
  throw new Failure(
    'source.permission',
    'this role may not read tidemark.secret: its marks would not count',
    {
      remedy: 'use the role that ran `tidemark init --capture`',
    },
  );
}

async function write(session: Connection, name: string, signature: Signature): Promise<WrittenMark> {
  await session.execute('BEGIN; SET LOCAL synchronous_commit = local');
  const [mine] = await session.query<{ xid: string; at: string }>(
    `SELECT pg_current_xact_id()::text AS "xid",
            (extract(epoch FROM clock_timestamp() - '2000-01-01 00:00:00+00'::timestamptz) * 1000000)::int8::text AS "at"`,
  );
  const message = signedMessage({ version: 1, kind: 'mark', name, xid: mine?.xid }, signature);
  await session.query(`SELECT pg_logical_emit_message(true, 'tidemark:mark', $1::bytea)`, [message]);
  await session.commit();
  const [after] = await session.query<{ position: string }>(
    'SELECT pg_current_wal_insert_lsn()::text AS "position"',
  );
  const lsn = parseLsn(after?.position ?? '');
  if (mine === undefined || lsn === undefined)
    throw new Failure('source.error', 'the server answered no position');
  return { xid: BigInt(mine.xid), lsn, time: BigInt(mine.at) };
}
