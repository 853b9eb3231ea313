import { open, readFile, stat, statfs } from 'node:fs/promises';
import { endianness } from 'node:os';
import { join } from 'node:path';
import type { Connection } from '../postgres/connection.ts';
import { sqlFile } from '../postgres/sql-file.ts';
import type { TargetDisk, Volume } from './space.ts';

/** sql/target/storage.sql */
interface StorageFacts {
  readonly dataDirectory: string | null;
  readonly port: number;
  readonly startedAt: string;
  readonly systemIdentifier: string;
  readonly tablespace: string;
  readonly walBytes: string;
  readonly takenBytes: string;
}

/** pg_tablespace_d.h */
const DEFAULT_TABLESPACE = '1663';
/** The server notes its start in the file first, and for itself when it is ready to listen. */
const MOST_START_SECONDS = 120;

/**
 * Looks at the target's disks, where its data directory is on this very machine. Whatever lies at that path, as a
 * container's may exist here too, counts only when it is proved to be the running server's: by the cluster's
 * identifier, the port and the second at which it was started.
 */
export async function readTargetDisk(
  connection: Connection,
  options: { readonly database: string; readonly taken: readonly string[] },
): Promise<TargetDisk> {
  const [facts] = await connection.query<StorageFacts>(sqlFile('target/storage'), [
    options.database,
    options.taken,
  ]);
  if (facts === undefined) throw new Error('the server answered no row about its storage');
  if (facts.dataDirectory === null)
    return { unknown: 'the role may not read data_directory (pg_read_all_settings)' };
  try {
    if (!(await isDirectoryOf(facts.dataDirectory, facts)))
      return { unknown: 'the server’s data directory is not on this machine' };
    return {
      volumes: await volumes(facts.dataDirectory, facts.tablespace),
      walBytes: Number(facts.walBytes),
      takenBytes: Number(facts.takenBytes),
    };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'EACCES' || code === 'EPERM')
      return { unknown: 'this user may not look into the server’s data directory' };
    return { unknown: 'the server’s data directory is not on this machine' };
  }
}

async function isDirectoryOf(directory: string, facts: StorageFacts): Promise<boolean> {
  // miscadmin.h, LOCK_FILE_LINE_*: pid, data directory, start, port, …
  const lines = (await readFile(join(directory, 'postmaster.pid'), 'utf8')).split('\n');
  const late = Number(facts.startedAt) - Number(lines[2]);
  if (Number(lines[3]) !== facts.port || !(late >= 0 && late <= MOST_START_SECONDS)) return false;
  return (await systemIdentifier(directory)) === BigInt(facts.systemIdentifier);
}

/** The first field of pg_control, in the machine's own byte order. */
async function systemIdentifier(directory: string): Promise<bigint> {
  await using file = await open(join(directory, 'global', 'pg_control'));
  const { buffer } = await file.read(Buffer.alloc(8), 0, 8, 0);
  return endianness() === 'LE' ? buffer.readBigUInt64LE() : buffer.readBigUInt64BE();
}

async function volumes(directory: string, tablespace: string): Promise<Volume[]> {
  const tables =
    tablespace === DEFAULT_TABLESPACE ? join(directory, 'base') : join(directory, 'pg_tblspc', tablespace);
  const wal = join(directory, 'pg_wal');
  const [tablesOn, walOn] = [await stat(tables), await stat(wal)];
  if (tablesOn.dev === walOn.dev)
    return [{ directory: tables, freeBytes: await freeBytes(tables), holdsTables: true, holdsWal: true }];
  return [
    { directory: tables, freeBytes: await freeBytes(tables), holdsTables: true, holdsWal: false },
    { directory: wal, freeBytes: await freeBytes(wal), holdsTables: false, holdsWal: true },
  ];
}

async function freeBytes(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory);
  return bavail * bsize;
}
