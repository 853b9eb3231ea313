import type { SchemaEntry } from './schema-script.ts';

/**
 * Where an entry runs: before the data, or after it. As pg_dump's sections, and grants last, since an owner may have
 * taken a right from itself that the restore needs (_tocEntryRestorePass()).
 */
export type Section = 'pre-data' | 'post-data';

const POST_DATA = new Set([
  'ACL',
  'DEFAULT ACL',
  'CONSTRAINT',
  'CHECK CONSTRAINT',
  'FK CONSTRAINT',
  'INDEX',
  'INDEX ATTACH',
  'STATISTICS',
  'RULE',
  'TRIGGER',
  'EVENT TRIGGER',
  'POLICY',
  'ROW SECURITY',
  'PUBLICATION',
  'PUBLICATION TABLE',
  'PUBLICATION TABLES IN SCHEMA',
  'SUBSCRIPTION',
  'SUBSCRIPTION TABLE',
  'STATISTICS DATA',
]);

/** Comments, labels and grants exist only with the thing that they speak of. */
const SATELLITE = new Set(['COMMENT', 'SECURITY LABEL', 'ACL']);

/** Sections of all entries, in archive order. CHECK constraints kept apart by pg_dump are NOT VALID ones or cyclic. */
export function sections(entries: readonly SchemaEntry[]): Map<SchemaEntry, Section> {
  const byId = new Map<number, Section>();
  const result = new Map<SchemaEntry, Section>();
  for (const entry of entries) {
    const section = sectionOf(entry, byId);
    byId.set(entry.dumpId, section);
    result.set(entry, section);
  }
  return result;
}

function sectionOf(entry: SchemaEntry, known: ReadonlyMap<number, Section>): Section {
  if (entry.type !== 'ACL' && SATELLITE.has(entry.type)) {
    return entry.dependencies.some((id) => known.get(id) === 'post-data') ? 'post-data' : 'pre-data';
  }
  return POST_DATA.has(entry.type) ? 'post-data' : 'pre-data';
}

const RELATIONS = new Set(['TABLE', 'FOREIGN TABLE', 'VIEW', 'MATERIALIZED VIEW', 'PARTITIONED TABLE']);
/** Part of a table: exist only with it. */
const PARTS = new Set([
  ...SATELLITE,
  'DEFAULT',
  'SEQUENCE OWNED BY',
  'SEQUENCE',
  'TABLE ATTACH',
  'CONSTRAINT',
  'CHECK CONSTRAINT',
  'FK CONSTRAINT',
  'INDEX',
  'INDEX ATTACH',
  'STATISTICS',
  'RULE',
  'TRIGGER',
  'POLICY',
  'ROW SECURITY',
]);

/**
 * The entries that some tables need: the tables, what they are made of and what that depends on. A part that
 * also belongs to a table outside the set (a foreign key to it, the attachment to a parent) is left out.
 */
export function entriesForTables(
  entries: readonly SchemaEntry[],
  tableOids: ReadonlySet<string>,
): { entries: SchemaEntry[]; leftOut: SchemaEntry[] } {
  const byId = new Map(entries.map((entry) => [entry.dumpId, entry]));
  const taken = new Set<SchemaEntry>();
  const take = (entry: SchemaEntry): void => {
    if (taken.has(entry)) return;
    taken.add(entry);
    for (const id of entry.dependencies) {
      const dependency = byId.get(id);
      if (dependency !== undefined) take(dependency);
    }
  };
  for (const entry of entries) if (isRelation(entry) && tableOids.has(entry.oid)) take(entry);
  const leftOut = new Set<SchemaEntry>();
  for (let before = -1; before !== taken.size;) {
    before = taken.size;
    for (const entry of entries) {
      if (taken.has(entry) || !PARTS.has(entry.type)) continue;
      const needs = dependenciesOf(entry, byId);
      const holder = (need: SchemaEntry): boolean =>
        SATELLITE.has(entry.type) || isRelation(need) || PARTS.has(need.type);
      if (!needs.some((need) => taken.has(need) && holder(need))) continue;
      const outside = needs.some((need) => !taken.has(need) && (isRelation(need) || PARTS.has(need.type)));
      if (outside && entry.type !== 'DEFAULT') leftOut.add(entry);
      else take(entry);
    }
  }
  return {
    entries: entries.filter((entry) => taken.has(entry)),
    leftOut: [...leftOut].filter((entry) => !taken.has(entry)),
  };
}

function isRelation(entry: SchemaEntry): boolean {
  return entry.catalogOid === '1259' && RELATIONS.has(entry.type);
}

function dependenciesOf(entry: SchemaEntry, byId: ReadonlyMap<number, SchemaEntry>): SchemaEntry[] {
  return entry.dependencies.flatMap((id) => byId.get(id) ?? []);
}
