import { Option } from 'commander';
import type { Command } from 'commander';
import { runUnattended } from '../../app/unattended.ts';
import type { RunEvent } from '../../app/unattended.ts';
import { formatDuration } from '../../model/quantities.ts';
import { headlineOf } from '../../monitor/notice.ts';
import { LOG_LEVELS, openLog } from '../../runtime/log.ts';
import type { Log, LogLevel } from '../../runtime/log.ts';
import { describeCapture, fieldsOf, note, warning } from '../capture-events.ts';
import type { Described } from '../capture-events.ts';
import type { CommandContext } from '../context.ts';

/** Capture says more often how it stands. */
const STATUS_MS = 60_000;

export function addRunCommand(program: Command, run: CommandContext): void {
  const command = program
    .command('run')
    .description(
      'capture, follow schedules and gaps, and tell of failures, until it is stopped: for service managers',
    )
    .option('--no-capture', 'follow the schedules alone')
    .addOption(new Option('--log-level <LEVEL>', 'what the log says').choices(LOG_LEVELS).default('info'));
  run.action(command, async ({ settings, terminal, signal, options }) => {
    const log = openLog({
      level: options['logLevel'] as LogLevel,
      forPeople: terminal.interactive,
      write: (line) => process.stderr.write(line),
    });
    run.announce = (line) => log.info({}, line);
    log.info({ source: settings.sourceName }, `tidemark run: source ${settings.sourceName}`);
    await runUnattended(settings, { capture: options['capture'] !== false, onEvent: logger(log), signal });
    log.info({}, 'stopped');
  });
}

function logger(log: Log): (event: RunEvent) => void {
  let told = -Infinity;
  return (event) => {
    const now = performance.now();
    const { text, warns } = describe(event);
    const isNoise = event.kind === 'ignored-messages' || (event.kind === 'status' && now - told < STATUS_MS);
    if (event.kind === 'status' && !isNoise) told = now;
    log[isNoise ? 'debug' : warns ? 'warn' : 'info'](fieldsOf(event), text);
  };
}

function describe(event: RunEvent): Described {
  switch (event.kind) {
    case 'capture-ended':
      return warning(
        `capture ended: ${event.failure.message} (${event.failure.code}); it begins again in ${formatDuration(event.retryMs)}`,
      );
    case 'job-begun':
      return note(
        `${event.schedule}: begun, ${event.reason}, due ${event.dueAt}${event.attempt === 1 ? '' : `, attempt ${event.attempt}`}`,
      );
    case 'job-ended':
      return note(
        `${event.schedule}: ${event.outcome} after ${formatDuration(event.milliseconds)}${event.snapshot === undefined ? '' : `, snapshot ${event.snapshot}`}`,
      );
    case 'job-failed':
      return warning(`${event.schedule}: failed: ${event.failure.message} (${event.failure.code})`);
    case 'job-killed':
      return warning(`${event.schedule}: begun at ${event.startedAt} and never ended: it was killed`);
    case 'job-next':
      return note(`${event.schedule}: due next at ${event.at}`);
    case 'history-unreadable':
      return warning(`${event.schedule}: what was done before can't be read: ${event.failure.message}`);
    case 'told':
      return note(`${event.target} was told: ${headlineOf(event.notice)}`);
    case 'not-told':
      return warning(`${event.target} could not be told: ${event.failure.message}`);
    case 'gap':
    case 'ignored-messages':
    case 'lost':
    case 'publications-tended':
    case 'schema-changed':
    case 'slot':
    case 'snapshot-alert':
    case 'snapshot-begun':
    case 'snapshot-failed':
    case 'snapshot-postponed':
    case 'snapshot-taken':
    case 'snapshot-wanted':
    case 'standby':
    case 'status':
    case 'store-trouble':
    case 'streaming':
    case 'tables-limited':
    case 'waiting':
      return describeCapture(event);
  }
}
