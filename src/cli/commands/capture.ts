import type { Command } from 'commander';
import { captureJob } from '../../app/capture-job.ts';
import type { FollowUpEvent } from '../../app/resnapshot.ts';
import type { CaptureEvent } from '../../capture/events.ts';
import { describeCapture, fieldsOf } from '../capture-events.ts';
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
    .option(
      '--resnapshot',
      'follow gaps and schema changes by new snapshots: an hour apart, four a day at most',
      false,
    )
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
      terminal.line(fieldsOf(event), '');
      return;
    }
    if (event.kind === 'ignored-messages') {
      const now = performance.now();
      ignored.count += event.count;
      if (now - ignored.told < IGNORED_MS) return;
      terminal.warn(describeCapture({ ...event, count: ignored.count }).text);
      [ignored.count, ignored.told] = [0, now];
      return;
    }
    if (event.kind === 'status') {
      const now = performance.now();
      if (now - told < STATUS_MS) return;
      told = now;
    }
    const { text, warns } = describeCapture(event);
    if (warns) terminal.warn(text);
    else terminal.note(text);
  };
}
