import { createHmac } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { execa } from 'execa';
import { captureNames } from '../../src/model/capture-names.ts';
import { parseConnectionUrl } from '../../src/postgres/connection-settings.ts';
import { libpqEnvironment } from '../../src/postgres/libpq-environment.ts';
import { chooseTools } from '../../src/postgres/tools.ts';
import { rows, session, tools } from './postgres.ts';
import { tidemarkJson } from './tidemark.ts';

/** The parts of a decoded change stream that the tests of the set-up look at. */
export interface DdlMessage {
  readonly digest: string;
  readonly body: Buffer;
  readonly facts: Record<string, unknown> & {
    readonly kind: 'ddl' | 'drop' | 'rewrite';
    readonly tag: string;
    readonly xid: string;
    readonly objects?: readonly { readonly identity: string }[];
    readonly relations?: readonly Record<string, unknown>[];
  };
}

export async function initCapture(
  url: string,
  repository: string,
  more: readonly string[] = [],
): Promise<Record<string, unknown>> {
  return tidemarkJson(['init', '--capture', '--url', url, '--repository', repository, ...more]);
}

export async function namesOf(repository: string): Promise<ReturnType<typeof captureNames>> {
  const document = JSON.parse(await readFile(`${repository}/repository.json`, 'utf8')) as {
    repositoryId: string;
  };
  return captureNames('main', document.repositoryId);
}

/** Tags of pgoutput messages that the slot holds, in order, and their bytes; the slot stays where it is. */
export async function peek(url: string, repository: string): Promise<Buffer[]> {
  const names = await namesOf(repository);
  await using connection = await session(url);
  const found = await connection.query<{ data: string }>(
    `SELECT encode(data, 'hex') AS "data" FROM pg_logical_slot_peek_binary_changes($1, NULL, NULL,
       'proto_version', '1', 'publication_names', $2, 'messages', 'true')`,
    [names.slot, `${names.rows},${names.changes}`],
  );
  return found.map((row) => Buffer.from(row.data, 'hex'));
}

/** Messages under our prefix: tag M, flags, LSN, prefix, length, content (REPLICATION G). */
export function ddlMessages(stream: readonly Buffer[]): DdlMessage[] {
  return stream.flatMap((message) => {
    if (message.at(0) !== 0x4d) return [];
    const end = message.indexOf(0, 10);
    if (message.toString('utf8', 10, end) !== 'tidemark:ddl') return [];
    const content = message.subarray(end + 5);
    const newline = content.indexOf(0x0a);
    const body = content.subarray(newline + 1);
    return [
      {
        digest: content.toString('latin1', 0, newline),
        body,
        facts: JSON.parse(body.toString('utf8')) as DdlMessage['facts'],
      },
    ];
  });
}

/** Node's own HMAC under the key on the source: independent of the SQL that made the digest. */
export async function verifies(url: string, message: Pick<DdlMessage, 'body' | 'digest'>): Promise<boolean> {
  const [secret] = await rows<{ key: string }>(
    url,
    `SELECT encode(key, 'hex') AS "key" FROM tidemark.secret`,
  );
  const digest = createHmac('sha256', Buffer.from(secret?.key ?? '', 'hex'))
    .update(message.body)
    .digest('hex');
  return digest === message.digest;
}

/** Which tables are in a publication that lists them. */
export async function members(url: string, publication: string): Promise<string[]> {
  const found = await rows<{ table: string }>(
    url,
    `SELECT m.prrelid::regclass::text AS "table" FROM pg_publication_rel m JOIN pg_publication p ON p.oid = m.prpubid
      WHERE p.pubname = '${publication}' ORDER BY 1`,
  );
  return found.map((row) => row.table);
}

/** What a set-up could leave behind: every catalog that it writes to, and stock pg_dump's view apart. */
export async function traces(url: string): Promise<unknown> {
  return rows(
    url,
    `SELECT 'schema' AS "what", nspname::text AS "name" FROM pg_namespace WHERE nspname !~ '^pg_(temp|toast_temp)'
      UNION ALL SELECT 'relation', c.oid::regclass::text FROM pg_class c WHERE c.oid >= 16384
      UNION ALL SELECT 'function', oid::regprocedure::text FROM pg_proc WHERE oid >= 16384
      UNION ALL SELECT 'publication', pubname FROM pg_publication
      UNION ALL SELECT 'member', prpubid || '/' || prrelid FROM pg_publication_rel
      UNION ALL SELECT 'event trigger', evtname FROM pg_event_trigger
      UNION ALL SELECT 'policy', polname FROM pg_policy
      UNION ALL SELECT 'slot', slot_name FROM pg_replication_slots
      UNION ALL SELECT 'comment', classoid || '/' || objoid FROM pg_description WHERE objoid >= 16384
      UNION ALL SELECT 'shared dependency', classid || '/' || objid || '/' || refobjid FROM pg_shdepend
                 WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
      UNION ALL SELECT 'dependency', count(*)::text FROM pg_depend
      UNION ALL SELECT 'role', rolname || rolreplication FROM pg_roles
      UNION ALL SELECT 'database acl', datacl::text FROM pg_database WHERE datname = current_database()
      ORDER BY 1, 2`,
  );
}

/** What a DBA does with a printed script. */
export async function runScript(url: string, major: number, script: string): Promise<void> {
  const { psql } = chooseTools(await tools(), major);
  await execa(psql, ['-X', '-q', '-f', '-'], {
    env: libpqEnvironment(parseConnectionUrl(url, {}), { job: 'dba' }),
    extendEnv: false,
    input: script,
  });
}
