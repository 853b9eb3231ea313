import { start } from './tidemark.ts';
import { until } from './until.ts';

type Event = Readonly<Record<string, unknown>>;

export interface Unattended {
  readonly running: ReturnType<typeof start>;
  /** What it has logged so far. */
  readonly events: Event[];
  /** Waits for the next event like this one that was not waited for yet. */
  said(like: Event): Promise<Event>;
  /** Its exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | undefined>;
}

/** Starts `tidemark run` as a service manager does. */
export function unattended(
  options: { readonly cwd: string; readonly env?: Record<string, string> },
  args: readonly string[] = [],
): Unattended {
  const running = start(['run', ...args], options);
  const events: Event[] = [];
  let rest = '';
  running.stderr.on('data', (bytes: Buffer) => {
    const lines = (rest + bytes.toString('utf8')).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line.startsWith('{"')) events.push(JSON.parse(line) as Event);
  });
  const ended = running.then(({ exitCode, stderr }) => ({ exitCode, stderr }));
  let over = false;
  void ended.then(() => (over = true));
  const heard = new Set<Event>();
  return {
    running,
    events,
    said: async (like) => {
      const found = (): Event | undefined =>
        events.find(
          (event) =>
            !heard.has(event) && Object.entries(like).every(([name, value]) => event[name] === value),
        );
      await until(() => found() !== undefined || over);
      const event = found();
      if (event === undefined)
        throw new Error(`run ended without ${JSON.stringify(like)}: ${(await ended).stderr}`);
      heard.add(event);
      return event;
    },
    stop: async (signal = 'SIGTERM') => {
      running.kill(signal);
      return (await ended).exitCode;
    },
  };
}
