import { Failure } from '../model/failure.ts';
import { quoteRelation } from '../model/identifiers.ts';
import type { RelationName } from '../model/identifiers.ts';
import type { Connection } from './connection.ts';
import type { CatalogReader } from './inventory.ts';
import { sqlFile } from './sql-file.ts';

/** sql/introspect/capture-server.sql */
export interface CaptureServer {
  readonly walLevel: string;
  readonly slotsMax: number;
  readonly slotsUsed: number;
  /** max_slot_wal_keep_size in MB; -1: no limit. */
  readonly keepMegabytes: string;
  readonly role: string;
  readonly createOnDatabase: boolean;
  readonly provider: 'plain' | 'supabase' | 'rds' | 'cloudsql' | 'azure' | 'neon';
  /** Whether schema tidemark is there. */
  readonly schema: boolean;
  readonly schemaOwner: string | null;
  readonly schemaOwned: boolean;
  readonly schemaOfSuperuser: boolean;
  /** The comment on schema tidemark: which version of the functions is installed. */
  readonly code: string | null;
  /** Those of ours that are there and not disabled. */
  readonly eventTriggers: readonly string[];
  /** Of other sources of Tidemark in this database. */
  readonly otherPublications: readonly string[];
  /** All of Tidemark's in this database. */
  readonly slots: readonly string[];
}

/** sql/introspect/capture-tables.sql */
export interface CaptureTable extends RelationName {
  readonly oid: string;
  readonly kind: 'r' | 'p' | 'f';
  readonly persistence: 'p' | 'u';
  readonly isPartition: boolean;
  readonly owner: string;
  readonly owned: boolean;
  readonly identityProblem:
    | 'no_key'
    | 'nothing'
    | 'index_gone'
    | 'deferrable'
    | 'generated'
    | 'full_generated'
    | null;
  readonly inRows: boolean;
  readonly inChanges: boolean;
  readonly rowsFiltered: boolean;
  readonly changesFiltered: boolean;
  /** As which member of the two publications: another text once it was taken out and added again. */
  readonly members: string;
  /** A digest. */
  readonly columns: string;
  /** Another one once it was rewritten or truncated. */
  readonly storage: string;
  readonly bornWithKey: boolean;
}

/** sql/introspect/capture-schema.sql */
export interface CaptureSchema {
  readonly xmin: string;
  /** Our event triggers; empty unless all three are there and fire. */
  readonly triggers: string;
  /** A digest of what is no column of a table. */
  readonly objects: string;
}

/** What a role turned out to be able to do. */
export interface Abilities {
  readonly publication: boolean;
  /** FOR ALL TABLES. */
  readonly allTables: boolean;
  readonly eventTrigger: boolean;
  /** Publish tables that it does not own, as superusers and Supabase's `postgres` may. */
  readonly tablesOfOthers: boolean;
  readonly slot: 'yes' | 'denied' | 'none_free';
}

type Names = { readonly rows: string; readonly changes: string };

export async function readCaptureServer(reader: CatalogReader, names: Names): Promise<CaptureServer> {
  const sql = sqlFile('introspect/capture-server');
  const [server] = await reader.query<CaptureServer>(sql, [names.rows, names.changes]);
  if (server === undefined) throw new Error('the server answered no row about itself');
  return server;
}

export async function readCaptureSchema(reader: CatalogReader): Promise<CaptureSchema> {
  const [schema] = await reader.query<CaptureSchema>(sqlFile('introspect/capture-schema'));
  if (schema === undefined) throw new Error('the server answered no row about its schema');
  return schema;
}

export function readCaptureTables(reader: CatalogReader, names: Names): Promise<CaptureTable[]> {
  return reader.query<CaptureTable>(sqlFile('introspect/capture-tables'), [names.rows, names.changes]);
}

/**
 * Tries each thing in a transaction that is rolled back: providers allow by statement what no catalog shows. The names
 * are ours alone, and nobody else ever sees them. A temporary slot stands for the slot: it waits for nobody.
 */
export async function probeAbilities(
  session: Connection,
  tables: readonly CaptureTable[],
): Promise<Abilities> {
  const foreign = tables.find((table) => table.kind === 'r' && table.persistence === 'p' && !table.owned);
  await session.execute('BEGIN');
  try {
    await session.execute(`SET LOCAL lock_timeout = '1s'`);
    const schema = await attempt(session, 'CREATE SCHEMA tidemark_probe');
    const publication = await attempt(session, 'CREATE PUBLICATION tidemark_probe');
    return {
      publication: schema && publication,
      allTables: await attempt(
        session,
        `CREATE PUBLICATION tidemark_probe_all FOR ALL TABLES WITH (publish = 'insert')`,
      ),
      eventTrigger:
        schema &&
        (await attempt(
          session,
          `CREATE FUNCTION tidemark_probe.nothing() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
           CREATE EVENT TRIGGER tidemark_probe ON sql_drop EXECUTE FUNCTION tidemark_probe.nothing()`,
        )),
      tablesOfOthers:
        publication &&
        (foreign === undefined ||
          (await attempt(
            session,
            `ALTER PUBLICATION tidemark_probe ADD TABLE ONLY ${quoteRelation(foreign)}`,
          ))),
      slot: await probeSlot(session),
    };
  } finally {
    await session.execute('ROLLBACK');
  }
}

async function attempt(session: Connection, statement: string): Promise<boolean> {
  await session.execute('SAVEPOINT probe');
  try {
    await session.execute(statement);
    return true;
  } catch (error) {
    if (!(error instanceof Failure) || error.facts['sqlstate'] === undefined) throw error;
    await session.execute('ROLLBACK TO probe');
    return false;
  }
}

/** Slots know no transactions: this one is dropped by hand, and would go with the session. */
async function probeSlot(session: Connection): Promise<Abilities['slot']> {
  const name = `tidemark_probe_${session.backendPid}`;
  await session.execute('SAVEPOINT probe');
  try {
    await session.query('SELECT pg_create_physical_replication_slot($1, false, true)', [name]);
    await session.query('SELECT pg_drop_replication_slot($1)', [name]);
    return 'yes';
  } catch (error) {
    if (!(error instanceof Failure) || error.facts['sqlstate'] === undefined) throw error;
    await session.execute('ROLLBACK TO probe');
    return error.facts['sqlstate'] === '53400' ? 'none_free' : 'denied';
  }
}
