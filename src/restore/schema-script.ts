import { Failure } from '../model/failure.ts';

/** One entry of a pg_dump archive with the SQL that makes it. */
export interface SchemaEntry {
  readonly dumpId: number;
  /** Catalog and oid of the object on the source; 0 where there is none (comments, grants, attachments). */
  readonly catalogOid: string;
  readonly oid: string;
  readonly dependencies: readonly number[];
  /** For people: pg_restore replaces line breaks in it. */
  readonly name: string;
  /** pg_dump's word: TABLE, INDEX, FK CONSTRAINT, … */
  readonly type: string;
  readonly schema: string;
  readonly owner: string;
  readonly sql: string;
  /** What the entry's SQL expects; the script sets it once for all entries that follow. */
  readonly tableAccessMethod: string | undefined;
}

/** A line of `pg_restore --list`. */
export interface ListedEntry {
  readonly dumpId: number;
  readonly catalogOid: string;
  readonly oid: string;
  /** Type, schema, name and owner in words, which can't be told apart. */
  readonly words: string;
}

const LIST_LINE = /^(\d+); (\d+) (\d+) (.*)$/;

export function parseList(text: string): ListedEntry[] {
  return text.split('\n').flatMap((line) => {
    const match = LIST_LINE.exec(line);
    if (match?.[2] === undefined || match[3] === undefined) return [];
    return { dumpId: Number(match[1]), catalogOid: match[2], oid: match[3], words: match[4] ?? '' };
  });
}

/** Large objects as pg_dump's majors list them: what they are, and their data. */
export function largeObjectIds(list: readonly ListedEntry[]): number[] {
  return list.filter((entry) => /^BLOB(?:S| METADATA)? /.test(entry.words)).map((entry) => entry.dumpId);
}

const HEADER =
  /^--\n-- TOC entry (\d+) \(class (\d+) OID (\d+)\)\n(?:-- Dependencies:((?: \d+)+)\n)?-- Name: (.*); Type: ([A-Z][A-Z ]*); Schema: (.*); Owner: (.*)\n(?:-- Data Pos: .*\n)?--\n/gm;
const STATE_AT_END = /(?:\n|SET default_tablespace = .*;|SET default_table_access_method = .*;)+$/;
const ACCESS_METHOD = /SET default_table_access_method = (.*);/g;

/**
 * Parts the output of `pg_restore --verbose --file=-` into its entries (pg_backup_archiver.c,
 * _printTocEntry()). A function's body may hold lines that look like a header, so a header counts only when
 * the archive's own list names its entry, further on than the one before. The list has grants beside what they
 * are on; they are printed when all else is, and event triggers after them (_tocEntryRestorePass()).
 *
 * What stands before the first entry (settings) is left to the caller's session. Fails with
 * `integrity.format` when nothing is found although the list names entries.
 */
export function parseScript(script: string, list: readonly ListedEntry[]): SchemaEntry[] {
  const position = new Map(list.map((entry, index) => [entry.dumpId, index]));
  const headers: RegExpExecArray[] = [];
  let last = -1;
  for (const match of script.matchAll(HEADER)) {
    const index = position.get(Number(match[1]));
    const listed = index === undefined ? undefined : list[index];
    if (index === undefined || listed?.catalogOid !== match[2] || listed?.oid !== match[3]) continue;
    const place = passOf(match[6] ?? '', match[5] ?? '') * list.length + index;
    if (place <= last) continue;
    last = place;
    headers.push(match);
  }
  if (headers.length === 0 && list.length > 0) {
    throw new Failure('integrity.format', 'pg_restore printed none of the entries that it lists');
  }
  return toEntries(script, headers);
}

function passOf(type: string, name: string): number {
  if (type === 'ACL' || type === 'ACL LANGUAGE' || type === 'DEFAULT ACL') return 1;
  const late = type === 'EVENT TRIGGER' || type === 'MATERIALIZED VIEW DATA';
  return late || (type === 'COMMENT' && name.startsWith('EVENT TRIGGER ')) ? 2 : 0;
}

function toEntries(script: string, headers: readonly RegExpExecArray[]): SchemaEntry[] {
  const end = scriptEnd(script);
  let method = stateOf(script.slice(0, headers[0]?.index ?? 0)).method;
  return headers.map((header, index) => {
    const body = script.slice(header.index + header[0].length, headers[index + 1]?.index ?? end);
    const { sql, method: next } = stateOf(body);
    const entry: SchemaEntry = {
      dumpId: Number(header[1]),
      catalogOid: header[2] ?? '0',
      oid: header[3] ?? '0',
      dependencies: (header[4] ?? '').trim().split(' ').filter(Boolean).map(Number),
      name: header[5] ?? '',
      type: header[6] ?? '',
      schema: header[7] ?? '',
      owner: header[8] ?? '',
      sql,
      tableAccessMethod: method,
    };
    method = next ?? method;
    return entry;
  });
}

/** The script's own last comments and psql's `\unrestrict` are no part of the last entry. */
function scriptEnd(script: string): number {
  const completed = script.lastIndexOf('\n-- Completed on ');
  const end = completed === -1 ? script.lastIndexOf('\n--\n-- PostgreSQL database dump complete') : completed;
  return end === -1 ? script.length : end;
}

/** Parts off the settings for the entries that follow, which stand at the end of an entry's text. */
function stateOf(text: string): { sql: string; method: string | undefined } {
  const match = STATE_AT_END.exec(text);
  if (match === null) return { sql: text.trim(), method: undefined };
  const method = [...match[0].matchAll(ACCESS_METHOD)].at(-1)?.[1];
  return { sql: text.slice(0, match.index).trim(), method };
}
