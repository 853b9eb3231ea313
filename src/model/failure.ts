import { FAILURE_CODES, type FailureCode } from './failure-codes.ts';

/** Facts that go with a failure: names, numbers, positions. Never row values, credentials or SQL text. */
export type Facts = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

/**
 * The only error that leaves a room on purpose.
 *
 * `code` decides exit code and default remedy (see failure-codes.ts); `message` is lower-case without a
 * period; `facts` are fields for JSON and logs; `cause` keeps what happened below.
 */
export class Failure extends Error {
  override readonly name = 'Failure';
  readonly code: FailureCode;
  readonly facts: Facts;
  readonly remedy: string;

  constructor(
    code: FailureCode,
    message: string,
    options: { readonly facts?: Facts; readonly remedy?: string; readonly cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.facts = options.facts ?? {};
    this.remedy = options.remedy ?? FAILURE_CODES[code].remedy;
  }

  get exitCode(): number {
    return FAILURE_CODES[this.code].exit;
  }
}

/** Wraps anything thrown as a Failure; a Failure passes through unchanged. */
export function asFailure(error: unknown): Failure {
  if (error instanceof Failure) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new Failure('internal', message === '' ? 'unknown error' : message, { cause: error });
}

/** Throws `interrupted` when the signal has fired; the reason itself when that is a Failure. */
export function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw interruption(signal);
}

/** The Failure that an aborted signal stands for. */
export function interruption(signal: AbortSignal): Failure {
  return signal.reason instanceof Failure ? signal.reason : new Failure('interrupted', 'stopped on request');
}
