import type { ListedEntry } from './schema-script.ts';

const OWN =
  /^(?:EVENT TRIGGER - tidemark_(?:ddl|drop|rewrite) |PUBLICATION - tidemark_[a-z0-9_]+_(?:rows|changes) |PUBLICATION TABLE .* tidemark_[a-z0-9_]+_(?:rows|changes) )/;
const OWN_DROP =
  /^(?:DROP EVENT TRIGGER IF EXISTS "?tidemark_(?:ddl|drop|rewrite)"?;|(?:ALTER|DROP) PUBLICATION (?:IF EXISTS )?"?tidemark_[a-z0-9_]+_(?:rows|changes)"?[ ;])/;

/**
 * Whether an entry is part of what change capture keeps on a source. Never restored: a copy of a source is none, and
 * the functions that the triggers call are in schema tidemark, which no snapshot holds.
 */
export function isCaptureObject(entry: ListedEntry): boolean {
  return OWN.test(entry.words);
}

/** The same of a statement that drops. */
export function dropsCaptureObject(statement: string): boolean {
  return OWN_DROP.test(statement);
}
