import { Failure } from '../model/failure.ts';
import { isSnapshotId } from '../catalog/ids.ts';

/** A recovery target as the user wrote it. */
export type RecoveryTarget =
  | { readonly kind: 'latest' }
  | { readonly kind: 'snapshot'; readonly id: string }
  | { readonly kind: 'time'; readonly time: Date };

/** Reads `latest`, `snapshot:ID` or a time with zone. Fails with `usage.invalid`. */
export function parseRecoveryTarget(text: string): RecoveryTarget {
  if (text === 'latest') return { kind: 'latest' };
  const id = /^snapshot:(.+)$/.exec(text)?.[1] ?? (isSnapshotId(text) ? text : undefined);
  if (id !== undefined) return { kind: 'snapshot', id };
  if (/^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}(:?\d{2})?)$/.test(text)) {
    const time = new Date(text.replace(' ', 'T'));
    if (!Number.isNaN(time.getTime())) return { kind: 'time', time };
  }
  throw new Failure('usage.invalid', `not a recovery target: ${text}`, {
    remedy: 'write latest, snapshot:ID, or a time with its zone like 2026-11-23T10:01:59Z',
  });
}
