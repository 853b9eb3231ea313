import { pino } from 'pino';
import type { Logger } from 'pino';
import { withoutSecrets } from '../model/secrets.ts';

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export type Log = Pick<Logger, LogLevel>;

/** Names whose values are never written, wherever they stand. */
const SECRET = /password|passphrase|secret|token|authorization/i;

/** A log of JSON lines, or of lines for people. Each is written before the call returns; secrets are taken out of both. */
export function openLog(options: {
  readonly level: LogLevel;
  readonly forPeople: boolean;
  readonly write: (line: string) => void;
}): Log {
  const { level, forPeople, write } = options;
  return pino(
    {
      level,
      base: { program: 'tidemark' },
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: {
        level: (label) => ({ level: label }),
        log: (fields) => redacted(fields) as Record<string, unknown>,
      },
      hooks: {
        logMethod(inputs, method) {
          const [fields, message] = inputs as unknown as [object, string];
          method.apply(this, [fields, withoutSecrets(message)]);
        },
      },
    },
    { write: forPeople ? (line: string) => write(readable(line)) : write },
  );
}

function redacted(value: unknown): unknown {
  if (typeof value === 'string') return withoutSecrets(value);
  if (typeof value === 'bigint') return value.toString();
  if (Array.isArray(value)) return value.map(redacted);
  if (value instanceof Date) return value.toISOString();
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]: [string, unknown]) => [
      name,
      SECRET.test(name) ? '***' : redacted(inner),
    ]),
  );
}

function readable(line: string): string {
  const { time, level, msg } = JSON.parse(line) as Readonly<Record<'time' | 'level' | 'msg', string>>;
  const mark = level === 'info' ? '' : `${level.toUpperCase()}  `;
  return `${time.slice(0, 19).replace('T', ' ')}Z  ${mark}${msg}\n`;
}
