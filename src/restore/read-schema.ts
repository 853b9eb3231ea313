import type { Opener } from '../archive/age.ts';
import { checked } from '../archive/digest.ts';
import type { Manifest } from '../archive/manifest.ts';
import { keys } from '../catalog/keys.ts';
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

type Part = Manifest['parts'][number];

/**
 * A part of a snapshot as plain bytes, checked against the manifest's digest when it has been read to its end
 * and against age's own chunk digests on the way. Fails with `key.missing` when it is encrypted and no key is
 * given.
 */
export async function* readPart(
  at: { readonly repository: Repository; readonly manifest: Manifest; readonly part: Part },
  options: Pick<ReadOptions, 'opener' | 'signal'>,
): AsyncIterable<Uint8Array> {
  const key = keys.snapshotObject(at.manifest.source, at.manifest.id, at.part.name);
  const stored = checked(await at.repository.store.get(key, { signal: options.signal }), { ...at.part, key });
  if (!at.part.name.endsWith('.age')) {
    yield* stored;
    return;
  }
  if (options.opener === undefined) {
    throw new Failure('key.missing', `${key} is encrypted and no private key is given`, {
      facts: { object: key },
    });
  }
  yield* options.opener.openStream(stored);
}

/** All entries of a snapshot's schema, in the archive's order. */
export async function readSchema(
  repository: Repository,
  manifest: Manifest,
  options: ReadOptions,
): Promise<SchemaEntry[]> {
  const part = manifest.parts.find((candidate) => candidate.role === 'schema');
  if (part === undefined) {
    throw new Failure('integrity.format', `snapshot ${manifest.id} has no schema`, {
      facts: { snapshot: manifest.id },
    });
  }
  const run = (args: readonly string[]): Promise<Buffer> =>
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
  const list = parseList(text(await run(['--list']), manifest));
  return parseScript(text(await run(['--verbose', '--file=-']), manifest), list);
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
