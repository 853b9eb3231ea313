import type { GapDocument } from '../archive/stream-documents.ts';
import type { LimitedTable } from '../catalog/tables.ts';
import type { Failure } from '../model/failure.ts';

/** What capture tells while it runs. Positions are `16/B374D848`. */
export type CaptureEvent =
  | { readonly kind: 'standby'; readonly pid: number }
  | { readonly kind: 'streaming'; readonly stream: string; readonly from: string }
  | {
      readonly kind: 'status';
      readonly stream: string;
      /** Every commit before it is stored. */
      readonly tidemark: string;
      readonly transactions: number;
      readonly storedBytes: number;
      /** WAL that waits for us, and that the slot makes the server keep. */
      readonly ownLagBytes: string;
      readonly pinnedLagBytes: string;
      readonly secondsLeft: number | undefined;
      readonly paused: boolean;
    }
  | { readonly kind: 'slot'; readonly level: 'warning' | 'pinned' | 'relieve'; readonly why: string }
  | { readonly kind: 'store-trouble'; readonly failure: Failure }
  | { readonly kind: 'lost'; readonly failure: Failure; readonly retryMs: number }
  | { readonly kind: 'waiting'; readonly why: string }
  | { readonly kind: 'ignored-messages'; readonly count: number }
  /** `exact`: recorded by the event triggers; else noticed by comparison, with what happened in between unknown. */
  | { readonly kind: 'schema-changed'; readonly changes: number; readonly exact: boolean }
  /** Not all of their changes are stored from now on. */
  | {
      readonly kind: 'tables-limited';
      readonly tables: readonly LimitedTable[];
      readonly why: readonly string[];
    }
  | {
      readonly kind: 'publications-tended';
      readonly done: readonly string[];
      readonly pending: readonly string[];
    }
  | { readonly kind: 'gap'; readonly gap: GapDocument; readonly why: string }
  | { readonly kind: 'snapshot-wanted'; readonly gap: string; readonly reason: string };
