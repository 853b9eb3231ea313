import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { setMaxListeners } from 'node:events';
import { execa } from 'execa';
import { connect } from '../../src/postgres/connection.ts';
import type { ConnectOptions, Connection } from '../../src/postgres/connection.ts';
import { parseConnectionUrl } from '../../src/postgres/connection-settings.ts';
import { libpqEnvironment } from '../../src/postgres/libpq-environment.ts';
import { sqlFile } from '../../src/postgres/sql-file.ts';
import { chooseTools, discoverTools } from '../../src/postgres/tools.ts';
import type { ClientTools } from '../../src/postgres/tools.ts';
import { findServerBinaries } from '../../src/server/binaries.ts';
import { startServer } from '../../src/server/start-server.ts';
import type { ThrowawayServer } from '../../src/server/start-server.ts';

export const MAJORS = [14, 15, 16, 17, 18] as const;
export type Major = (typeof MAJORS)[number];

/** Never fires: tests that stop something make their own. */
const calm = new AbortController().signal;
setMaxListeners(0, calm);

/** Client programs that docker/setup.sh unpacked, beside the system's own. */
export const PG_BIN = [17, 18]
  .map((major) => fileURLToPath(new URL(`../../.cache/pg-client-${major}/bin`, import.meta.url)))
  .filter((directory) => existsSync(directory))
  .join(':');

export function tools(): Promise<ClientTools[]> {
  return discoverTools({ binDirectories: PG_BIN, searchPath: process.env['PATH'] ?? '', signal: calm });
}

/** A server of one major from npm, for one test file. */
export async function testServer(
  major: Major,
  settings: Record<string, string> = {},
): Promise<ThrowawayServer> {
  const binaries = findServerBinaries().find((found) => found.major === major && found.origin === 'embedded');
  if (binaries === undefined) throw new Error(`no programs of PostgreSQL ${major}: run npm ci`);
  return startServer({
    binaries,
    settings: { fsync: 'off', wal_level: 'logical', max_connections: '60', ...settings },
    signal: calm,
  });
}

/** A session as a user of the database would open it. */
export function session(
  url: string,
  options: Pick<ConnectOptions, 'onNotice' | 'replication'> = {},
): Promise<Connection> {
  return connect(parseConnectionUrl(url, {}), { side: 'source', job: 'test', signal: calm, ...options });
}

/** Runs SQL in a new session. */
export async function sql(url: string, text: string): Promise<void> {
  await using connection = await session(url);
  await connection.execute(text);
}

export async function rows<Row extends object>(url: string, text: string): Promise<Row[]> {
  await using connection = await session(url);
  return await connection.query<Row>(text);
}

let databases = 0;

/** Makes an empty database and returns its URL. */
export async function newDatabase(server: ThrowawayServer, options = ''): Promise<string> {
  const name = `test_${(databases += 1)}`;
  await sql(server.url(), `CREATE DATABASE ${name} TEMPLATE template0 ${options}`);
  return server.url(name);
}

/** A URL whose database does not exist yet. */
export function absentDatabase(server: ThrowawayServer): string {
  return server.url(`restored_${(databases += 1)}`);
}

export async function sampleDatabase(server: ThrowawayServer, scale = 0.001): Promise<string> {
  const url = await newDatabase(server);
  await using connection = await session(url);
  await connection.query("SELECT set_config('sample.scale', $1, false)", [String(scale)]);
  for (const name of ['sample/01-schema', 'sample/02-data', 'sample/03-code'])
    await connection.execute(sqlFile(name));
  return url;
}

/**
 * The independent oracle: what stock pg_dump says of a database. Rows in the order of their text, since a
 * parallel restore may lay them down in another; without what names this run of the tool.
 */
export async function stockDump(
  url: string,
  serverMajor: number,
  args: readonly string[] = [],
): Promise<string> {
  const { pgDump } = chooseTools(await tools(), serverMajor);
  const { stdout } = await execa(pgDump, ['--quote-all-identifiers', '--no-unlogged-table-data', ...args], {
    env: {
      ...libpqEnvironment(parseConnectionUrl(url, {}), { job: 'oracle' }),
      PGOPTIONS: '-c bytea_output=hex -c timezone=UTC',
    },
    extendEnv: false,
    encoding: 'latin1',
    maxBuffer: 1 << 30,
  });
  return sortedCopies(
    stdout.split('\n').filter((line) => !/^\\(un)?restrict |^-- (Dumped|Started|Completed)/.test(line)),
  );
}

function sortedCopies(lines: readonly string[]): string {
  const out: string[] = [];
  let copy: string[] | undefined;
  for (const line of lines) {
    if (copy === undefined) {
      out.push(line);
      if (/^COPY .* FROM stdin;$/.test(line)) copy = [];
    } else if (line === '\\.') {
      for (const row of copy.sort()) out.push(row);
      out.push(line);
      copy = undefined;
    } else copy.push(line);
  }
  return out.join('\n');
}
