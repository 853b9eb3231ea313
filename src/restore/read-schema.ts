import type { Opener } from '../archive/age.ts';
import type { Manifest } from '../archive/manifest.ts';
import { readPart } from '../catalog/read-part.ts';
import type { Repository } from '../catalog/repository.ts';
import { Failure } from '../model/failure.ts';
import type { ClientTools } from '../postgres/tools.ts';
import { captureTool } from '../runtime/subprocess.ts';
import { parseList, parseScript } from './schema-script.ts';
import type { SchemaEntry } from './schema-script.ts';

/** A schema's SQL is held in memory; this bounds it. */
const MAX_SCRIPT_BYTES = 512 * 1024 * 1024;

interface ReadOptions {
  readonly opener: Opener | undefined;
  readonly tools: ClientTools;
  readonly owners: boolean;
  readonly privileges: boolean;
  readonly signal: AbortSignal;
}

/** All entries of a snapshot's schema, in the archive's order. */
export async function readSchema(
  repository: Repository,
  manifest: Manifest,
  options: ReadOptions,
): Promise<SchemaEntry[]> {
  const run = printer(repository, manifest, options);
  const list = parseList(text(await run(['--list', '--schema-only']), manifest));
  return parseScript(text(await run(['--verbose', '--schema-only', '--file=-']), manifest), list);
}

/**
 * What goes with its table need not be dropped before, and of a partition can't be. Foreign keys are dropped
 * by the caller.
 */
const GOES_WITH_ITS_TABLE = /^(?:ALTER TABLE (?:IF EXISTS )?(?:ONLY )?[^;]* DROP CONSTRAINT |DROP INDEX )/;

/** The statements that drop what the schema lists, in reverse order; every one with IF EXISTS. */
export async function readDropScript(
  repository: Repository,
  manifest: Manifest,
  options: ReadOptions,
): Promise<string> {
  const script = text(
    await printer(repository, manifest, options)(['--clean', '--if-exists', '--schema-only', '--file=-']),
    manifest,
  );
  const start = script.search(/^(?:DROP|ALTER TABLE) /m);
  const end = script.search(/^--\n-- Name: .*; Type: /m);
  if (start === -1 || end < start) return '';
  const statements = script.slice(start, end).split(/(?<=;)\n+/);
  return statements.filter((statement) => !GOES_WITH_ITS_TABLE.test(statement)).join('\n');
}

/** Runs pg_restore over the schema dump with some arguments; what it prints. */
function printer(
  repository: Repository,
  manifest: Manifest,
  options: ReadOptions,
): (args: readonly string[]) => Promise<Buffer> {
  const part = manifest.parts.find(({ role }) => role === 'schema' || role === 'full-custom');
  if (part === undefined) {
    throw new Failure('integrity.format', `snapshot ${manifest.id} has no schema`, {
      facts: { snapshot: manifest.id },
    });
  }
  return (args) =>
    captureTool({
      file: options.tools.pgRestore,
      args: [
        ...args,
        '--no-tablespaces',
        ...(options.owners ? [] : ['--no-owner']),
        ...(options.privileges ? [] : ['--no-acl']),
      ],
      environment: {},
      stdin: readPart({ repository, manifest, part }, options),
      maxBytes: MAX_SCRIPT_BYTES,
      signal: options.signal,
    });
}

function text(bytes: Buffer, manifest: Manifest): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new Failure('integrity.format', `the schema of snapshot ${manifest.id} is not UTF-8`, {
      facts: { snapshot: manifest.id, encoding: manifest.server.encoding },
      remedy: 'restore schema.dump by hand with pg_restore, as FORMAT.md says, then run restore --data-only',
      cause,
    });
  }
}
