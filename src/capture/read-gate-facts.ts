import type { CaptureNames } from '../model/capture-names.ts';
import { readServerFacts } from '../postgres/inventory.ts';
import type { ServerFacts } from '../postgres/inventory.ts';
import type { Connection } from '../postgres/connection.ts';
import { readPublications } from '../postgres/publications.ts';
import type { SystemIdentity } from '../postgres/replication-stream.ts';
import { readSlot } from '../postgres/slot.ts';
import { sqlFile } from '../postgres/sql-file.ts';
import type { GateFacts } from './gates.ts';
import type { Signature } from './own-messages.ts';

export interface SourceFacts extends GateFacts {
  readonly server: ServerFacts;
  readonly signature: Signature | undefined;
  readonly nextXid: bigint;
}

/** Reads afresh all that the gates look at. Publications before the slot: a set-up makes them in this order. */
export async function readGateFacts(
  session: Connection,
  names: CaptureNames,
  system: SystemIdentity,
): Promise<SourceFacts> {
  const server = await readServerFacts(session);
  const [source] = await session.query<{
    installed: boolean;
    hasSecret: boolean;
    synchronousNames: string;
    nextXid: string;
  }>(sqlFile('introspect/capture-source'));
  const sourceId = source?.installed === true ? await readSourceId(session) : undefined;
  return {
    server,
    system,
    systemIdentifier: server.systemIdentifier,
    inRecovery: server.inRecovery,
    versionNumber: server.versionNumber,
    databaseName: server.databaseName,
    sourceId,
    synchronousNames: source?.synchronousNames ?? '',
    publications: await readPublications(session, [names.rows, names.changes]),
    slot: await readSlot(session, names.slot),
    signature:
      source?.hasSecret === true && sourceId !== undefined
        ? await readSignature(session, sourceId)
        : undefined,
    nextXid: BigInt(source?.nextXid ?? 0),
  };
}

export async function readSourceId(session: Connection): Promise<string | undefined> {
  const [row] = await session.query<{ id: string }>('SELECT id::text AS "id" FROM tidemark.source_id');
  return row?.id;
}

/** Undefined where this role sees no secret: then no DDL message and no mark counts. */
export async function readSignature(session: Connection, sourceId: string): Promise<Signature | undefined> {
  const [row] = await session.query<{ key: string }>(
    `SELECT encode(key, 'hex') AS "key" FROM tidemark.secret`,
  );
  return row === undefined ? undefined : { key: Buffer.from(row.key, 'hex'), sourceId };
}
