import { join } from 'node:path';
import type { Sealer } from '../archive/age.ts';
import { packDirectory } from '../archive/directory-tar.ts';
import type { StoredObject } from '../archive/manifest.ts';
import type { ConnectionSettings } from '../postgres/connection-settings.ts';
import type { Relation } from '../postgres/inventory.ts';
import { libpqEnvironment } from '../postgres/libpq-environment.ts';
import type { ClientTools } from '../postgres/tools.ts';
import { failpoint } from '../runtime/failpoints.ts';
import { runTool } from '../runtime/subprocess.ts';
import type { Store } from '../storage/store.ts';
import { stored } from './archive-output.ts';
import { withoutMetaCommands } from './meta-commands.ts';
import type { ExportedSnapshot } from './keeper.ts';

export interface DumpContext {
  readonly settings: ConnectionSettings;
  readonly tools: ClientTools;
  readonly job: string;
  readonly snapshot: ExportedSnapshot;
  readonly lockTimeoutMs: number;
  /** Of the database, as pg_encoding_to_char() names it. */
  readonly encoding: string;
  readonly store: Store;
  readonly keyOf: (name: string) => string;
  readonly sealer: Sealer | undefined;
  readonly signal: AbortSignal;
}

/** Our own schema on a source is never part of a snapshot. */
const OWN_SCHEMAS = ['tidemark', 'tidemark_restore'];

/**
 * `schema.dump`: pg_dump's custom format, everything of the schema, on the exported snapshot. Restores filter
 * it; a dump that left things out could not be completed later (REPLICATION J). Relations that the role may
 * not read are left out by name, since pg_dump would refuse to lock them: they are not in scope then.
 */
export function dumpSchema(context: DumpContext, unreadable: readonly Relation[]): Promise<StoredObject> {
  return storeDump(context, 'schema.dump', [
    '--schema-only',
    ...unreadable.map((relation) => `--exclude-table=${pattern(relation.schema)}.${pattern(relation.name)}`),
  ]);
}

/**
 * `largeobjects.dump`: pg_dump has no switch for large objects alone; a data dump that excludes every table's
 * data (`*.*`: a bare `*` means the search path's tables only) holds them and sequence positions.
 */
export function dumpLargeObjects(context: DumpContext): Promise<StoredObject> {
  return storeDump(context, 'largeobjects.dump', ['--data-only', '--blobs', '--exclude-table-data=*.*']);
}

/** What engine pg_dump dumps. Tables out of scope keep their definitions and lose their rows. */
export interface FullDump {
  readonly unreadable: readonly Relation[];
  readonly withoutData: readonly Relation[];
  readonly largeObjects: boolean;
}

/** `full.dump`: custom format, streamed. */
export function dumpFull(context: DumpContext, dump: FullDump): Promise<StoredObject> {
  return storeDump(context, 'full.dump', fullArguments(dump));
}

/** `full.tar`: directory format, by several connections into a folder of ours, then stored as one archive. */
export async function dumpFullInParallel(
  context: DumpContext,
  dump: FullDump,
  how: { readonly staging: string; readonly jobs: number; readonly modified: Date },
): Promise<StoredObject> {
  const directory = join(how.staging, 'full');
  const run = runTool({
    file: context.tools.pgDump,
    args: [
      '--format=directory',
      `--jobs=${how.jobs}`,
      `--file=${directory}`,
      '--no-sync',
      ...dumpArguments(context),
      ...fullArguments(dump),
    ],
    environment: environmentOf(context),
    signal: context.signal,
  });
  for await (const said of run) void said;
  await failpoint('snapshot.dump-staged');
  return put(context, 'full.tar', packDirectory(directory, { modified: how.modified }));
}

function fullArguments(dump: FullDump): string[] {
  const exact = (relation: Relation): string => `${pattern(relation.schema)}.${pattern(relation.name)}`;
  return [
    '--no-unlogged-table-data',
    ...(dump.largeObjects ? ['--blobs'] : ['--no-blobs']),
    ...dump.unreadable.map((relation) => `--exclude-table=${exact(relation)}`),
    ...dump.withoutData.map((relation) => `--exclude-table-data=${exact(relation)}`),
  ];
}

/** `globals.sql`: roles without passwords, which managed servers don't show (REPLICATION J). */
export async function dumpGlobals(context: DumpContext): Promise<StoredObject> {
  const output = runTool({
    file: context.tools.pgDumpall,
    args: [
      '--roles-only',
      '--no-role-passwords',
      '--quote-all-identifiers',
      '--no-password',
      '--database',
      context.settings.database,
    ],
    environment: environmentOf(context),
    signal: context.signal,
  });
  return put(context, 'globals.sql', withoutMetaCommands(output));
}

function storeDump(context: DumpContext, name: string, args: readonly string[]): Promise<StoredObject> {
  const output = runTool({
    file: context.tools.pgDump,
    args: ['--format=custom', ...dumpArguments(context), ...args],
    environment: environmentOf(context),
    signal: context.signal,
  });
  return put(context, name, output);
}

function dumpArguments(context: DumpContext): string[] {
  return [
    `--snapshot=${context.snapshot.name}`,
    `--lock-wait-timeout=${Math.trunc(context.lockTimeoutMs)}`,
    '--quote-all-identifiers',
    '--no-password',
    ...OWN_SCHEMAS.map((schema) => `--exclude-schema=${schema}`),
  ];
}

/** Everything in UTF-8, which any client reads; SQL_ASCII means bytes of no known encoding, kept as they are. */
function environmentOf(context: DumpContext): Record<string, string> {
  const encoding = context.encoding === 'SQL_ASCII' ? {} : { PGCLIENTENCODING: 'UTF8' };
  return { ...libpqEnvironment(context.settings, { job: context.job }), ...encoding };
}

async function put(context: DumpContext, name: string, plain: AsyncIterable<Buffer>): Promise<StoredObject> {
  const full = context.sealer === undefined ? name : `${name}.age`;
  const body = context.sealer === undefined ? plain : context.sealer.sealStream(plain);
  const put = await context.store.putIfAbsent(context.keyOf(full), body, { signal: context.signal });
  await failpoint('snapshot.dump-written');
  return stored(full, put);
}

/** A name that pg_dump's pattern matcher takes literally. */
function pattern(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
