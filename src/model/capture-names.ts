import { createHash } from 'node:crypto';

/** Names of what change capture keeps on a source (DESIGN, "Names that last"). */
export interface CaptureNames {
  /** At most 63 bytes of [a-z0-9_], which is all that a slot's name may hold. */
  readonly slot: string;
  /** Inserts and truncates. */
  readonly rows: string;
  /** Updates and deletes. */
  readonly changes: string;
}

/**
 * The repository's id stands in the slot's name: two repositories that protect one source need a slot each, and may
 * share publications. A source's name may hold `-`, which a slot's can't: then a digest keeps `a-b` apart from `a_b`.
 */
export function captureNames(source: string, repositoryId: string): CaptureNames {
  const word = source.includes('-')
    ? `${source.replaceAll('-', '_')}_${createHash('sha256').update(source).digest('hex').slice(0, 4)}`
    : source;
  return {
    slot: `tidemark_${word}_${repositoryId.slice(0, 6)}`,
    rows: `tidemark_${word}_rows`,
    changes: `tidemark_${word}_changes`,
  };
}
