import { readdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure } from '../model/failure.ts';
import { captureTool } from '../runtime/subprocess.ts';

/** PostgreSQL's client programs of one version. */
export interface ClientTools {
  readonly directory: string;
  readonly major: number;
  /** As `pg_dump --version` prints it, like `15.18`. */
  readonly version: string;
  readonly pgDump: string;
  readonly pgDumpall: string;
  readonly pgRestore: string;
  readonly psql: string;
}

/** Where packagers put each major's programs; `*` is one folder of any name. */
const PACKAGED = [
  '/usr/lib/postgresql/*/bin',
  '/usr/pgsql-*/bin',
  '/opt/homebrew/opt/postgresql@*/bin',
  '/opt/homebrew/opt/libpq/bin',
  '/usr/local/opt/postgresql@*/bin',
  '/usr/local/opt/libpq/bin',
  '/Applications/Postgres.app/Contents/Versions/*/bin',
];

/**
 * All sets of client programs on this machine, oldest major first. Debian's /usr/bin/pg_dump is a wrapper
 * that picks a version by itself: a folder counts only when its pg_dump is no link out of it to that wrapper.
 */
export async function discoverTools(options: {
  /** Folders named by the user (TIDEMARK_PG_BIN), looked at first; `:` between several. */
  readonly binDirectories?: string | undefined;
  readonly searchPath: string;
  readonly signal: AbortSignal;
}): Promise<ClientTools[]> {
  const named = (options.binDirectories ?? '').split(':').filter(Boolean);
  const packaged = (await Promise.all(PACKAGED.map((pattern) => expand(pattern)))).flat();
  const directories = new Set([...named, ...packaged, ...options.searchPath.split(':').filter(Boolean)]);
  const found = new Map<string, ClientTools>();
  for (const directory of directories) {
    const tools = await lookInto(directory, options.signal);
    if (tools !== undefined && !found.has(tools.pgDump)) found.set(tools.pgDump, tools);
  }
  return [...found.values()].sort((a, b) => a.major - b.major);
}

/**
 * The programs for a server: the same major, so that what they print fits it, else the next newer one.
 * pg_dump refuses a server newer than itself. Fails with `tool.missing` or `tool.too_old`.
 */
export function chooseTools(tools: readonly ClientTools[], serverMajor: number): ClientTools {
  const [newest] = [...tools].sort((a, b) => b.major - a.major);
  const fitting = tools
    .filter((candidate) => candidate.major >= serverMajor)
    .sort((a, b) => a.major - b.major);
  const [chosen] = fitting;
  if (chosen !== undefined) return chosen;
  const remedy =
    `install the client programs of PostgreSQL ${serverMajor} or newer ` +
    `(Debian, Ubuntu: apt-get install postgresql-client-${serverMajor}; macOS: brew install postgresql@${serverMajor}), ` +
    'or name their folder with TIDEMARK_PG_BIN';
  if (newest === undefined)
    throw new Failure('tool.missing', 'pg_dump was not found on this machine', { remedy });
  throw new Failure(
    'tool.too_old',
    `pg_dump ${newest.version} is older than the server (PostgreSQL ${serverMajor})`,
    {
      facts: { pgDump: newest.version, serverMajor },
      remedy,
    },
  );
}

async function lookInto(directory: string, signal: AbortSignal): Promise<ClientTools | undefined> {
  const paths = ['pg_dump', 'pg_dumpall', 'pg_restore', 'psql'].map((name) => join(directory, name));
  const [pgDump = '', pgDumpall = '', pgRestore = '', psql = ''] = paths;
  for (const path of paths) if (!(await isFile(path))) return undefined;
  if ((await realpath(pgDump)).endsWith('/pg_wrapper')) return undefined;
  try {
    const printed = await captureTool({
      file: pgDump,
      args: ['--version'],
      environment: {},
      maxBytes: 4096,
      signal,
    });
    const version = /\(PostgreSQL\) ([\d.]+\w*)/.exec(printed.toString('utf8'))?.[1];
    if (version === undefined) return undefined;
    return { directory, major: Number.parseInt(version, 10), version, pgDump, pgDumpall, pgRestore, psql };
  } catch (error) {
    // A broken installation is no installation; the next folder may serve.
    if (error instanceof Failure && error.code === 'tool.failed') return undefined;
    throw error;
  }
}

async function expand(pattern: string): Promise<string[]> {
  const star = pattern.indexOf('*');
  if (star === -1) return [pattern];
  const slash = pattern.lastIndexOf('/', star);
  const [parent, prefix, rest] = [
    pattern.slice(0, slash),
    pattern.slice(slash + 1, star),
    pattern.slice(star + 1),
  ];
  try {
    const names = await readdir(parent);
    return names.filter((name) => name.startsWith(prefix)).map((name) => `${parent}/${name}${rest}`);
  } catch {
    return [];
  }
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}
