import { setTimeout as delay } from 'node:timers/promises';
import { Failure, asFailure } from '../model/failure.ts';

/**
 * Every place where a test can break this program, in the order in which it comes by. Each is named once in the code,
 * and test/fault/failpoints.test.ts breaks at each.
 */
export const FAILPOINTS = [
  'snapshot.probed',
  'snapshot.locked',
  'snapshot.exported',
  'snapshot.source-written',
  'snapshot.range-locked',
  'snapshot.part-added',
  'snapshot.range-copied',
  'snapshot.archive-closed',
  'snapshot.list-written',
  'snapshot.dump-staged',
  'snapshot.dump-written',
  'snapshot.copied',
  'snapshot.flushed',
  'snapshot.unlocked',
  'snapshot.digests-stored',
  'snapshot.before-manifest',
  'snapshot.after-manifest',
  'restore.database-made',
  'restore.planned',
  'restore.cleaned',
  'restore.begun',
  'restore.entries-unrecorded',
  'restore.entries-committed',
  'restore.after-pre-data',
  'restore.truncated',
  'restore.range-loaded',
  'restore.rows-uncommitted',
  'restore.rows-committed',
  'restore.entry-made',
  'restore.after-data',
  'restore.schema-changed',
  'restore.after-changes',
  'restore.large-objects-unrecorded',
  'restore.large-objects-committed',
  'restore.after-post-data',
  'restore.after-sequences',
  'restore.after-views',
  'restore.after-analyze',
  'restore.after-check',
  'restore.durable',
  'restore.progress-removed',
  'restore.in-place-truncated',
  'restore.in-place-uncommitted',
  'restore.in-place-committed',
  'restore.dump-staged',
  'restore.dump-restored',
  'capture.stream-created',
  'capture.gap-recorded',
  'capture.slot-dropped',
  'capture.admitted',
  'capture.started',
  'capture.table-gaps-stored',
  'capture.beat-uncommitted',
  'capture.beat-committed',
  'capture.run-packed',
  'capture.part-stored',
  'capture.segment-stored',
  'capture.confirmed',
  'capture.chapter-stored',
  'run.job-begun',
  'run.job-done',
  'prune.marked',
  'prune.deleting',
  'prune.manifest-removed',
  'prune.snapshot-removed',
  'prune.cut-stored',
  'prune.object-removed',
  'prune.removed',
  'folder.written',
  'folder.linked',
  'folder.synced',
  's3.before-put',
  's3.after-put',
  's3.part-sent',
  's3.before-complete',
  's3.after-complete',
] as const;

export type Failpoint = (typeof FAILPOINTS)[number];

/**
 * `kill` is kill -9 of this process, `error` throws, `sleep` waits for so long, `pause` until the program is told to
 * stop: then it goes on as if that had come at this very place.
 */
type Action =
  | { readonly kind: 'kill' | 'error' | 'pause' }
  | { readonly kind: 'sleep'; readonly milliseconds: number };

interface Armed {
  readonly action: Action;
  /** Acts when the program comes by for this time, and at no other. */
  readonly at: number;
  passed: number;
}

interface Life {
  readonly signal: AbortSignal;
  /** Told before anything that waits, for whoever waits for it. */
  readonly announce: (line: string) => void;
}

let armed: { readonly points: ReadonlyMap<string, Armed>; readonly life: Life } | undefined;

/**
 * Arms points of this process as `TIDEMARK_FAILPOINTS` says: `snapshot.copied=kill,folder.linked=sleep:500@3`, where
 * `@3` is the third time. Nothing is armed without it. Fails with `config.invalid`.
 */
export function armFailpoints(text: string | undefined, life: Life): void {
  const entries = (text ?? '').split(',').filter((entry) => entry !== '');
  armed = entries.length === 0 ? undefined : { points: new Map(entries.map((entry) => parse(entry))), life };
}

/** Does nothing, at the cost of one comparison, unless this point is armed. To be awaited. */
export function failpoint(name: Failpoint): Promise<void> | undefined {
  if (armed === undefined) return undefined;
  const point = armed.points.get(name);
  if (point === undefined || (point.passed += 1) !== point.at) return undefined;
  return act(name, point.action, armed.life);
}

function parse(entry: string): [string, Armed] {
  const [, name = '', kind, milliseconds, at] =
    /^([a-z0-9.-]+)=(?:(kill|error|pause)|sleep:(\d+))(?:@([1-9]\d*))?$/.exec(entry) ?? [];
  if (!FAILPOINTS.some((known) => known === name)) {
    throw new Failure('config.invalid', `TIDEMARK_FAILPOINTS: ${entry} names no failpoint and action`, {
      remedy: 'unset it: it is for tests of this program',
    });
  }
  const action: Action =
    kind === undefined
      ? { kind: 'sleep', milliseconds: Number(milliseconds) }
      : { kind: kind as 'kill' | 'error' | 'pause' };
  return [name, { action, at: Number(at ?? 1), passed: 0 }];
}

async function act(name: Failpoint, action: Action, life: Life): Promise<void> {
  switch (action.kind) {
    case 'kill':
      process.kill(process.pid, 'SIGKILL');
      return;
    case 'error':
      throw new Failure('internal', `failpoint ${name}`);
    case 'sleep':
      life.announce(`failpoint ${name}: sleeping`);
      return delay(action.milliseconds);
    case 'pause':
      life.announce(`failpoint ${name}: paused`);
      await delay(FOREVER_MS, undefined, { signal: life.signal }).catch(() => undefined);
      return;
    default:
      throw asFailure(action satisfies never);
  }
}

/** As long as a timer can be. */
const FOREVER_MS = 2 ** 31 - 1;
