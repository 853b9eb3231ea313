import type { CodecThreads } from '../archive/codec-threads.ts';
import type { Manifest, TableEntry } from '../archive/manifest.ts';
import { keys } from '../catalog/keys.ts';
import { readMemberIndex } from '../catalog/member-index.ts';
import type { StoredRange } from '../catalog/member-index.ts';
import type { ReadHow } from '../catalog/read-range.ts';
import { Failure } from '../model/failure.ts';
import type { RestoreRequest, StoredSnapshot } from './request.ts';

/** Where a table's rows are read, and how they were written. */
export interface RowSource {
  readonly manifest: Pick<Manifest, 'copyFormat' | 'server'>;
  readonly read: ReadHow;
}

type RowIndex = ReadonlyMap<number, readonly StoredRange[]>;

/**
 * The request with the tables of its manifest as they are restored, and where their ranges are: a table whose rows come
 * from a later snapshot keeps its number and has the other one's counts.
 */
export async function indexRows(
  request: RestoreRequest,
): Promise<{ readonly request: RestoreRequest; readonly index: RowIndex }> {
  const { manifest, repository, replaced = [] } = request;
  const index = new Map(await readMemberIndex(repository, manifest, request));
  const entries = new Map<number, TableEntry>();
  for (const { snapshot, tables } of replaced) {
    refuseOtherSettings(manifest, snapshot.manifest);
    const ranges = await readMemberIndex(snapshot.repository, snapshot.manifest, request);
    for (const oid of tables) {
      const [entry, later] = [manifest, snapshot.manifest].map((one) =>
        one.tables.find((table) => table.oid === oid),
      );
      if (entry === undefined || later === undefined) throw new Error(`table ${oid} is in one snapshot only`);
      const { number, references } = entry;
      entries.set(oid, { ...later, number, references });
      index.set(
        number,
        (ranges.get(later.number) ?? []).map((range) => ({ ...range, table: number })),
      );
    }
  }
  const tables = manifest.tables.map((table) => entries.get(table.oid) ?? table);
  return { request: { ...request, manifest: { ...manifest, tables } }, index };
}

/** By table: its own snapshot. */
export function rowSources(
  request: RestoreRequest,
  threads: CodecThreads,
): (table: Pick<TableEntry, 'oid'>) => RowSource {
  const sourceOf = ({ repository, manifest, opener }: StoredSnapshot): RowSource => ({
    manifest,
    read: {
      threads,
      store: repository.store,
      keyOf: (name) => keys.snapshotObject(manifest.source, manifest.id, name),
      compression: manifest.compression,
      opener,
      signal: request.signal,
    },
  });
  const own = sourceOf(request);
  const others = new Map(
    (request.replaced ?? []).flatMap(({ snapshot, tables }) => {
      const source = sourceOf(snapshot);
      return tables.map((oid) => [oid, source] as const);
    }),
  );
  return ({ oid }) => others.get(oid) ?? own;
}

/** All connections load under the settings of one snapshot. */
function refuseOtherSettings(one: Manifest, other: Manifest): void {
  const differ = Object.keys({ ...one.settings, ...other.settings }).filter(
    (name) => one.settings[name] !== other.settings[name],
  );
  if (differ.length === 0) return;
  throw new Failure('recovery.refused', `snapshots ${one.id} and ${other.id} were not written alike`, {
    facts: { settings: differ },
    remedy: 'take a whole snapshot for later points; restore the tables one by one with --table for this one',
  });
}
