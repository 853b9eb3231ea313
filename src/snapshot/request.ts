import type { Sealer } from '../archive/age.ts';
import type { Compression, Manifest } from '../archive/manifest.ts';
import type { Repository } from '../catalog/repository.ts';
import type { ConnectionSettings } from '../postgres/connection-settings.ts';
import type { ClientTools } from '../postgres/tools.ts';
import type { Selection } from './select.ts';
import type { SnapshotPlan } from './plan.ts';

/** All that a snapshot needs to know. Nothing is read from the environment. */
export interface SnapshotRequest {
  readonly source: string;
  readonly engine: Manifest['engine'];
  readonly settings: ConnectionSettings;
  readonly repository: Repository;
  /** Where its changes may be captured to besides. */
  readonly others: readonly Repository[];
  readonly selection: Selection;
  /** Connections that copy; the keeper, the lock watcher and pg_dump come on top. */
  readonly jobs: number;
  readonly format: Manifest['copyFormat'];
  readonly compression: Compression;
  readonly sealer: Sealer | undefined;
  readonly largeObjects: boolean;
  /** Also digest every table under the same snapshot, for proofs of restores. */
  readonly witness: boolean;
  /** Every client tool set found; the right one is chosen by the server's major. */
  readonly tools: readonly ClientTools[];
  readonly lockTimeoutMs: number;
  /** How long someone may wait behind our locks before we give way. */
  readonly patienceMs: number;
  readonly rollBytes: number;
  /** Engine pg_dump only: a folder for temporary plaintext, which lets several connections dump. */
  readonly staging: string | undefined;
  /** Name and version of this program, for the manifest. */
  readonly program: string;
  readonly onEvent: (event: SnapshotEvent) => void;
  readonly signal: AbortSignal;
}

export type SnapshotEvent =
  | { readonly kind: 'planned'; readonly id: string; readonly plan: SnapshotPlan }
  /** `doneBytes` of `totalBytes` of heap and TOAST, by ranges that ended; `copyBytes` received so far. */
  | {
      readonly kind: 'progress';
      readonly doneBytes: number;
      readonly totalBytes: number;
      readonly copyBytes: number;
      readonly rows: bigint;
    }
  | { readonly kind: 'phase'; readonly phase: 'locking' | 'copying' | 'digesting' | 'finishing' };
