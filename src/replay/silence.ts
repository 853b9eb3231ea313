import { Failure } from '../model/failure.ts';
import type { Connection } from '../postgres/connection.ts';
import { sqlFile } from '../postgres/sql-file.ts';

interface Firing {
  readonly object: string;
  readonly silence: string;
  readonly putBack: string;
}

/**
 * Switches off what would run in a replay although the session is a replica, in one transaction with the record of
 * how it was: `unsilence` puts it back, after a kill too. Can be done again. What was silenced; fails with
 * `target.blocked` when the role may not.
 */
export async function silence(connection: Connection): Promise<string[]> {
  await connection.execute(sqlFile('target/replay-progress'));
  const firing = await connection.query<Firing>(sqlFile('target/replay-firing'));
  await connection.execute('BEGIN');
  try {
    for (const { object, silence, putBack } of firing) {
      await connection.query(
        'INSERT INTO tidemark_restore.silenced (object, put_back) VALUES ($1, $2) ON CONFLICT DO NOTHING',
        [object, putBack],
      );
      await connection.execute(silence);
    }
    await connection.commit();
  } catch (error) {
    await connection.execute('ROLLBACK').catch(() => undefined);
    if (!(error instanceof Failure) || error.code !== 'target.permission') throw error;
    const objects = firing.map(({ object }) => object);
    throw new Failure('target.blocked', `may not be switched off for the replay: ${objects.join(', ')}`, {
      facts: { objects },
      remedy: 'disable these on the target, or use the role that owns them',
      cause: error,
    });
  }
  return firing.map(({ object }) => object);
}

/** Puts back what `silence` switched off, now or in a run that was killed. What was put back. */
export async function unsilence(connection: Connection): Promise<string[]> {
  const [exists] = await connection.query<{ exists: boolean }>(
    `SELECT to_regclass('tidemark_restore.silenced') IS NOT NULL AS "exists"`,
  );
  if (exists?.exists !== true) return [];
  await connection.execute('BEGIN');
  const silenced = await connection.query<{ object: string; putBack: string }>(
    'DELETE FROM tidemark_restore.silenced RETURNING object AS "object", put_back AS "putBack"',
  );
  for (const { putBack } of silenced) await connection.execute(putBack);
  await connection.commit();
  return silenced.map(({ object }) => object);
}
