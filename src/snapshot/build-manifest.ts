import { FORMAT_VERSION } from '../archive/manifest.ts';
import type { Manifest, SequenceEntry, SourceDocument, TableEntry } from '../archive/manifest.ts';
import type { Extension, Relation, TableDefinition } from '../postgres/inventory.ts';
import type { SequencePosition } from '../postgres/sequences.ts';
import type { ClientTools } from '../postgres/tools.ts';
import type { CopiedTables } from './copy-tables.ts';
import type { PlannedTable } from './plan.ts';
import type { SnapshotRequest } from './request.ts';
import { COPY_TEXT_SETTINGS } from './session-settings.ts';
import type { Prepared } from './prepared.ts';

interface ManifestFacts {
  readonly request: SnapshotRequest;
  readonly prepared: Prepared;
  readonly source: SourceDocument;
  readonly startedAt: Date;
  readonly tools: ClientTools;
  readonly extensions: readonly Extension[];
  readonly sequences: ReadonlyMap<string, SequencePosition>;
  /** Of tables whose rows are stored, by oid. */
  readonly definitions: ReadonlyMap<string, TableDefinition>;
  readonly copied: CopiedTables;
  readonly parts: Manifest['parts'];
  readonly previous: Manifest['previous'];
}

/** States what was done. Pure but for the clock of `finishedAt`. */
export function buildManifest(facts: ManifestFacts): Manifest {
  const { request, prepared, copied } = facts;
  const tables = tableEntries(facts);
  const stored = [...facts.parts, ...copied.archives.flatMap((archive) => [archive.data, archive.members])];
  return {
    formatVersion: FORMAT_VERSION,
    kind: 'tidemark-snapshot',
    id: prepared.id,
    source: request.source,
    repositoryId: request.repository.document.repositoryId,
    engine: request.engine,
    createdBy: request.program,
    instant: prepared.snapshot.instant,
    startedAt: facts.startedAt.toISOString(),
    finishedAt: new Date().toISOString(),
    scope: prepared.selected.scope,
    tie: tieOf(prepared),
    server: serverEntry(facts),
    tools: { pgDump: facts.tools.version },
    settings: pinned(prepared.sessions.session),
    copyFormat: request.format,
    compression: request.compression,
    encryptedTo: [...(request.sealer?.fingerprints ?? [])],
    tables,
    sequences: sequenceEntries(facts),
    materializedViews: prepared.selected.materializedViews.map((view) => ({
      schema: view.schema,
      name: view.name,
      oid: Number(view.oid),
      populated: view.populated,
    })),
    coverage: coverage(facts),
    archives: copied.archives.map((archive) => ({ data: archive.data, members: archive.members })),
    parts: facts.parts,
    totals: {
      tables: tables.filter((table) => table.data !== 'excluded').length,
      rows: total(tables, 'rows'),
      copyBytes: total(tables, 'copyBytes'),
      storedBytes: stored.reduce((sum, object) => sum + BigInt(object.sizeBytes), 0n).toString(),
    },
    ...(facts.previous && { previous: facts.previous }),
  };
}

export function sourceDocument(source: string, prepared: Prepared): SourceDocument {
  const { facts } = prepared;
  return {
    formatVersion: FORMAT_VERSION,
    kind: 'tidemark-source',
    source,
    firstSeenAt: prepared.snapshot.instant,
    systemIdentifier: facts.systemIdentifier,
    databaseOid: Number(facts.databaseOid),
    databaseName: facts.databaseName,
    serverVersion: facts.versionNumber,
  };
}

/** How what is seen under an exported snapshot joins the source's change stream. */
export function tieOf({ snapshot, stream }: Prepared): Manifest['tie'] {
  const { visible, upper } = snapshot;
  return stream === undefined
    ? { kind: 'none', snapshot: visible, upper }
    : { kind: 'xid', stream, snapshot: visible, upper };
}

function serverEntry({ prepared, extensions }: ManifestFacts): Manifest['server'] {
  const { facts } = prepared;
  return {
    version: facts.versionNumber,
    versionText: facts.versionText,
    systemIdentifier: facts.systemIdentifier,
    timeline: Number.parseInt(facts.timelineHex ?? '0', 16),
    databaseOid: Number(facts.databaseOid),
    databaseName: facts.databaseName,
    encoding: facts.encoding,
    collate: facts.collate,
    ctype: facts.ctype,
    profile: facts.supabase ? 'supabase' : 'postgres',
    extensions: [...extensions],
  };
}

/** Tables with data first, by number; then those whose rows are not stored. */
function tableEntries({ request, prepared, copied, definitions }: ManifestFacts): TableEntry[] {
  const numbers = new Map(prepared.plan.tables.map((table) => [table.relation.oid, table.number]));
  const parents = new Map(prepared.selected.parents.map((parent) => [parent.oid, parent]));
  const described = (
    table: PlannedTable,
  ): Omit<TableEntry, 'data' | 'rows' | 'copyBytes' | 'storedBytes' | 'ranges'> => ({
    number: table.number,
    schema: table.relation.schema,
    name: table.relation.name,
    oid: Number(table.relation.oid),
    kind:
      table.relation.extension === null
        ? table.relation.isPartition
          ? 'partition'
          : 'table'
        : 'extension-config',
    persistence: table.relation.persistence === 'u' ? 'unlogged' : 'permanent',
    columns: [...table.relation.columns],
    ...(table.relation.condition ? { condition: table.relation.condition } : {}),
    partitionOf: ancestors(table.relation, parents),
    references: table.relation.references.flatMap((oid) => numbers.get(oid) ?? []),
  });
  const included = prepared.plan.tables.map((table): TableEntry => {
    const sums = copied.tables.get(table.number);
    const { definition } = definitions.get(table.relation.oid) ?? {};
    return {
      ...described(table),
      data: request.engine === 'copy' ? 'included' : 'dumped',
      rows: (sums?.rows ?? 0n).toString(),
      copyBytes: (sums?.copyBytes ?? 0n).toString(),
      storedBytes: (sums?.storedBytes ?? 0n).toString(),
      ranges: request.engine === 'copy' ? table.ranges.length : 0,
      tableBytes: table.size.totalBytes.toString(),
      indexBytes: table.size.indexBytes.toString(),
      ...(definition !== undefined && { definition }),
    };
  });
  const without = prepared.selected.withoutData.map((relation, index): TableEntry => {
    const table = {
      number: included.length + index + 1,
      relation,
      ranges: [],
      size: { heapBytes: 0n, totalBytes: 0n, indexBytes: 0n },
    };
    return { ...described(table), data: 'excluded', rows: '0', copyBytes: '0', storedBytes: '0', ranges: 0 };
  });
  return [...included, ...without];
}

function ancestors(relation: Relation, parents: ReadonlyMap<string, Relation>): TableEntry['partitionOf'] {
  const parent = parents.get(relation.partitionOf ?? '');
  if (parent === undefined) return [];
  return [
    { schema: parent.schema, name: parent.name, oid: Number(parent.oid) },
    ...ancestors(parent, parents),
  ];
}

function sequenceEntries({ prepared, sequences }: ManifestFacts): SequenceEntry[] {
  return prepared.selected.sequences.flatMap((sequence) => {
    const position = sequences.get(sequence.oid);
    if (position === undefined) return [];
    return {
      schema: sequence.schema,
      name: sequence.name,
      oid: Number(sequence.oid),
      lastValue: position.lastValue,
      isCalled: position.isCalled,
    };
  });
}

function coverage({ request, prepared, parts }: ManifestFacts): Manifest['coverage'] {
  const noLargeObjects = parts.every((part) => part.role === 'schema' || part.role === 'globals');
  const { tablespaces } = prepared.facts;
  return [
    ...prepared.selected.coverage,
    {
      kind: 'role-passwords',
      objects: [],
      note: 'roles are stored without passwords; set them after a restore',
    },
    ...some('tablespaces', tablespaces, 'tables of other tablespaces come back in the database’s own'),
    ...(noLargeObjects && (!request.largeObjects || prepared.selected.scope.kind !== 'whole')
      ? [
          {
            kind: 'large-objects-excluded' as const,
            objects: [],
            note: 'large objects are not in this snapshot',
          },
        ]
      : []),
  ];
}

function some(
  kind: Manifest['coverage'][number]['kind'],
  objects: readonly string[],
  note: string,
): Manifest['coverage'] {
  return objects.length === 0 ? [] : [{ kind, objects: [...objects], note }];
}

/** Only what shapes COPY text: the rest concerns the source's sessions alone. */
export function pinned(session: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(session).filter(([name]) => name in COPY_TEXT_SETTINGS));
}

function total(tables: readonly TableEntry[], field: 'rows' | 'copyBytes'): string {
  return tables.reduce((sum, table) => sum + BigInt(table[field]), 0n).toString();
}
