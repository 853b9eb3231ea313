import { lsnOf } from '../archive/run-document.ts';
import { tablesSchema } from '../archive/stream-documents.ts';
import type { TablesDocument } from '../archive/stream-documents.ts';
import { tablesName } from '../archive/stream-names.ts';
import { Failure } from '../model/failure.ts';
import { displayRelation } from '../model/identifiers.ts';
import type { RelationName } from '../model/identifiers.ts';
import type { Lsn } from '../model/lsn.ts';
import { readDocument } from './documents.ts';
import { keys } from './keys.ts';
import type { Repository } from './repository.ts';
import type { StreamAddress } from './streams.ts';

/** Names in one line. */
const MOST_NAMED = 10;

/**
 * How far each table's changes are stored in a stream, as it was found last. Undefined where nothing was recorded. One
 * listing and one read.
 */
export async function readTables(
  repository: Repository,
  at: StreamAddress,
  options: { readonly signal: AbortSignal },
): Promise<TablesDocument | undefined> {
  const key = (await listTables(repository, at, options)).at(-1);
  return key === undefined ? undefined : readOne(repository, { ...at, key }, options);
}

/** When tables, or what belongs to them, were last found to be others, by the server's clock; undefined: never in this stream. */
export async function tablesChangedAt(
  repository: Repository,
  at: StreamAddress,
  options: { readonly signal: AbortSignal },
): Promise<number | undefined> {
  const found = await listTables(repository, at, options);
  const key = found.at(-1);
  // The first one only says how they were.
  if (key === undefined || found.length === 1) return undefined;
  const document = await readOne(repository, { ...at, key }, options);
  return document && Date.parse(document.noticedAt);
}

/**
 * Tables of which some changes before a position are not stored. By the last look before it and the first one behind: what
 * began in between was noticed afterwards, and what was dropped in between is not seen again.
 */
export async function limitedBefore(
  repository: Repository,
  at: StreamAddress,
  options: { readonly position: Lsn; readonly signal: AbortSignal },
): Promise<LimitedTable[]> {
  const { position } = options;
  const found = await listTables(repository, at, options);
  const end = keys.streamObject(at.source, at.stream, tablesName(position));
  const next = found.findIndex((key) => key > end);
  const last = next === -1 ? found.length - 1 : next;
  const limited = new Map<string, LimitedTable>();
  for (const key of found.slice(Math.max(0, last - 1), last + 1)) {
    const document = await readOne(repository, { ...at, key }, options);
    for (const table of limitedTables(document))
      if (lsnOf(table.since) < position) limited.set(displayRelation(table), table);
  }
  return [...limited.values()];
}

async function listTables(
  { store }: Repository,
  at: StreamAddress,
  options: { readonly signal: AbortSignal },
): Promise<string[]> {
  const folder = keys.streamObject(at.source, at.stream, 'tables/');
  const found: string[] = [];
  for await (const { key } of store.list(folder, { signal: options.signal }))
    if (key.endsWith('.json')) found.push(key);
  return found;
}

async function readOne(
  { store, trust }: Repository,
  { key, source, stream }: StreamAddress & { readonly key: string },
  { signal }: { readonly signal: AbortSignal },
): Promise<TablesDocument | undefined> {
  const document = (await readDocument(store, key, { schema: tablesSchema, trust, signal }))?.document;
  if (document !== undefined && (document.source !== source || document.stream !== stream))
    throw new Failure('integrity.format', `${key} is of another stream`, { facts: { object: key } });
  return document;
}

/** A table of which not all changes are stored, from a position on. */
export interface LimitedTable extends RelationName {
  readonly stored: 'inserts' | 'nothing';
  readonly since: string;
  readonly reason: 'no-identity' | 'unlogged' | 'not-published';
}

export function limitedTables(
  document: { readonly tables: readonly TablesDocument['tables'][number][] } | undefined,
): LimitedTable[] {
  return (document?.tables ?? []).flatMap(({ schema, name, stored, since, reason }) =>
    stored === 'all' || since === undefined || reason === undefined
      ? []
      : [{ schema, name, stored, since, reason }],
  );
}

const WHY = { 'no-identity': 'no key', unlogged: 'unlogged', 'not-published': 'not published' } as const;

/** In a few lines, for people. */
export function describeLimited(tables: readonly LimitedTable[]): string[] {
  const groups = Map.groupBy(tables, ({ stored, reason }) => `${stored} ${reason}`);
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (first === undefined) return [];
    const what = first.stored === 'inserts' ? 'updates and deletes' : 'changes';
    const names = group.slice(0, MOST_NAMED).map(displayRelation).join(', ');
    const more = group.length > MOST_NAMED ? ` and ${group.length - MOST_NAMED} more` : '';
    return [`${what} of ${names}${more} are not captured (${WHY[first.reason]})`];
  });
}
