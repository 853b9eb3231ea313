import type { Opener } from '../archive/age.ts';
import type { Manifest } from '../archive/manifest.ts';
import type { Repository } from '../catalog/repository.ts';
import type { Connection } from '../postgres/connection.ts';
import type { ConnectionSettings } from '../postgres/connection-settings.ts';
import type { ClientTools } from '../postgres/tools.ts';
import type { RestorePlan } from './plan.ts';
import type { SchemaEntry } from './schema-script.ts';
import type { RestoreScope } from './scope.ts';

/** Changes that lead from the snapshot to a later point. */
export interface Continuation {
  /** Says which changes, and up to where: only the same restore goes on where it stopped. */
  readonly id: string;
  /**
   * Applies them. Tables have their rows, keys and unique constraints; foreign keys and triggers come afterwards, or with
   * `complete`. Of engine pg_dump everything is there already, so `isFinished` asks for a session in which they rest. What it answers
   * is kept with the progress: a restore that goes on has it, too.
   */
  run(restore: {
    readonly id: string;
    readonly isFinished: boolean;
    /** What the snapshot's schema has brought, under the names of the snapshot. */
    readonly objects: readonly SchemaEntry[];
    readonly owners: boolean;
    /** Some tables come back, not all that there is. */
    readonly isPart: boolean;
    /** Brings all that else comes after the changes: schema changes are made on what the source had. */
    readonly complete: () => Promise<void>;
    readonly signal: AbortSignal;
  }): Promise<string>;
  /** Moves sequences behind what the changes used. `outcome`: what `run` has answered. */
  advanceSequences(connection: Connection, outcome: string): Promise<void>;
}

/** A snapshot where it is, and what opens it. */
export interface StoredSnapshot {
  readonly repository: Repository;
  readonly manifest: Manifest;
  readonly opener: Opener | undefined;
}

export interface RestoreRequest extends StoredSnapshot {
  /** Tables, by oid, whose rows come from a later snapshot; they are made alike in both (`mayReplace`). */
  readonly replaced?: readonly { readonly snapshot: StoredSnapshot; readonly tables: readonly number[] }[];
  readonly target: ConnectionSettings;
  /** To prove that the target is not the source. Undefined: the source is not configured. */
  readonly source: ConnectionSettings | undefined;
  readonly scope: RestoreScope;
  /** Replace what stands in the target's way. The user has been asked. */
  readonly clean: boolean;
  /** Make the database first, unless it is there. */
  readonly create: boolean;
  /** Make the roles that the target lacks. */
  readonly globals: boolean;
  readonly owners: boolean;
  readonly privileges: boolean;
  readonly tools: readonly ClientTools[];
  readonly jobs: number;
  /** A folder for temporary plaintext: lets several connections restore a snapshot of engine pg_dump. */
  readonly staging: string | undefined;
  /** Where the dump lies while it is staged. */
  readonly stagedDump?: string;
  /** Undefined: the snapshot's own instant is wanted. */
  readonly continuation?: Continuation;
  readonly onEvent: (event: RestoreEvent) => void;
  readonly signal: AbortSignal;
}

export type RestorePhase =
  | 'pre-data'
  | 'data of the platform’s tables'
  | 'data'
  | 'large objects'
  | 'changes'
  | 'post-data'
  | 'sequences'
  | 'materialized views'
  | 'analyze'
  | 'check';

export type RestoreEvent =
  | {
      readonly kind: 'changes';
      readonly readBytes: number;
      readonly totalBytes: number;
      /** Rows changed and truncates so far. */
      readonly changes: number;
    }
  | { readonly kind: 'planned'; readonly plan: RestorePlan; readonly continued: boolean }
  | { readonly kind: 'phase'; readonly phase: RestorePhase; readonly items: number }
  | { readonly kind: 'entry'; readonly name: string }
  | {
      readonly kind: 'progress';
      readonly doneBytes: number;
      readonly totalBytes: number;
      readonly rows: bigint;
    };

/** A foreign key that rows of the target break. */
export interface BrokenKey {
  readonly table: string;
  readonly constraint: string;
  /** How many; absent: the key could not be made at all, and nobody has counted. */
  readonly rows?: string;
}

export interface RestoreReport {
  readonly snapshot: string;
  readonly tables: number;
  readonly rows: bigint;
  readonly copyBytes: number;
  readonly milliseconds: number;
  /** What was not brought back, or only in part: coverage of the snapshot and entries left out. */
  readonly notes: readonly string[];
  /** The source had such rows itself, or they come from elsewhere: the keys are NOT VALID or left out, where we made them. */
  readonly brokenKeys: readonly BrokenKey[];
  /** What the continuation has answered, in this run or an earlier one. */
  readonly outcome?: string;
}

/** Rows into tables that exist: nothing is made, and one transaction does it. */
export function isInPlace({ manifest, scope, clean }: RestoreRequest): boolean {
  if (manifest.engine === 'pg_dump') return false;
  return scope.part === 'data-only' || (clean && scope.tables.length + scope.schemas.length > 0);
}
