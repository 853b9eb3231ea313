import type { Command } from 'commander';
import { captureJob } from '../../app/capture-job.ts';
import type { FollowUpEvent } from '../../app/resnapshot.ts';
import type { CaptureEvent } from '../../capture/events.ts';
import { formatBytes, formatCount, formatDuration } from '../../model/quantities.ts';
import type { CommandContext } from '../context.ts';
import { seconds, size } from '../options.ts';
import type { Terminal } from '../terminal.ts';

/** People see how it stands as often; with --json every status is a line. */
const STATUS_MS = 60_000;
/** Another capture of the same source beats every five seconds: that is told at once, then summed up. */
const IGNORED_MS = 3_600_000;

export function addCaptureCommand(program: Command, run: CommandContext): void {
  const command = program
    .command('capture')
    .description('store every committed change of the source, until it is stopped')
    .option(
      '--flush <TIME>',
      'a change waits at most this long before it is stored (default: 10s)',
      seconds('--flush'),
    )
    .option(
      '--max-slot-lag <SIZE>',
      'relieve the source of the slot when more WAL waits for it (default: half of max_slot_wal_keep_size, else 10GB)',
      size('--max-slot-lag'),
    )
    .option('--resnapshot', 'follow each gap by a new snapshot: an hour apart, four a day at most', false)
    .option('--until <LSN>', 'end once everything before this position is stored');
  run.action(command, async ({ settings, terminal, signal, options }) => {
    await captureJob(settings, { ...options, onEvent: reporter(terminal), signal });
  });
}

function reporter(terminal: Terminal): (event: CaptureEvent | FollowUpEvent) => void {
  let told = -Infinity;
  const ignored = { count: 0, told: -Infinity };
  return (event) => {
    if (terminal.json) {
      terminal.line(lineOf(event), '');
      return;
    }
    if (event.kind === 'ignored-messages') {
      const now = performance.now();
      ignored.count += event.count;
      if (now - ignored.told < IGNORED_MS) return;
      terminal.warn(describe({ ...event, count: ignored.count }).text);
      [ignored.count, ignored.told] = [0, now];
      return;
    }
    if (event.kind === 'status') {
      const now = performance.now();
      if (now - told < STATUS_MS) return;
      told = now;
    }
    const { text, warns } = describe(event);
    if (warns) terminal.warn(text);
    else terminal.note(text);
  };
}

function lineOf(event: CaptureEvent | FollowUpEvent): Readonly<Record<string, unknown>> {
  if (!('failure' in event)) return { ...event };
  const { code, message, remedy } = event.failure;
  return { ...event, failure: { code, message, remedy } };
}

function describe(event: CaptureEvent | FollowUpEvent): { readonly text: string; readonly warns: boolean } {
  switch (event.kind) {
    case 'standby':
      return note(
        `standing by: pid ${event.pid} streams from the slot; this capture takes over when it leaves`,
      );
    case 'streaming':
      return note(`streaming from ${event.from}, into stream ${event.stream}`);
    case 'status':
      return note(
        `stored up to ${event.tidemark}: ${formatCount(event.transactions)} transactions, ${formatBytes(event.storedBytes)}; ` +
          `${formatBytes(BigInt(event.ownLagBytes))} of WAL behind${event.paused ? ', waiting for the repository' : ''}`,
      );
    case 'slot':
      return warning(event.why);
    case 'store-trouble':
      return warning(`the repository does not take it now, trying again: ${event.failure.message}`);
    case 'lost':
      return warning(`${event.failure.message}; trying again in ${formatDuration(event.retryMs)}`);
    case 'waiting':
      return note(event.why);
    case 'ignored-messages':
      return warning(
        `${event.count} message(s) under our prefix are not of this run of capture, and count for nothing: another capture’s, its own from before a restart, or forged ones`,
      );
    case 'schema-changed':
      return note(`${event.changes} schema change(s) recorded`);
    case 'gap':
      return warning(`gap ${event.gap.id} from ${event.gap.from.lsn} on (${event.gap.reason}): ${event.why}`);
    case 'snapshot-wanted':
      return warning(`a new snapshot is needed: only that closes gap ${event.gap}`);
    case 'snapshot-begun':
      return note(`taking a snapshot, because of gap ${event.gaps.join(', ')}`);
    case 'snapshot-taken':
      return note(`snapshot ${event.snapshot} is taken (${event.tables} tables)`);
    case 'snapshot-postponed':
      return note(`a snapshot is wanted because of a gap; it is taken at ${event.until}`);
    case 'snapshot-failed':
      return warning(`the snapshot that a gap asks for failed: ${event.failure.message}`);
    case 'snapshot-alert':
      return warning(`${event.failure.code}: ${event.failure.message}; ${event.failure.remedy}`);
  }
}

function note(text: string): { readonly text: string; readonly warns: boolean } {
  return { text, warns: false };
}

function warning(text: string): { readonly text: string; readonly warns: boolean } {
  return { text, warns: true };
}
