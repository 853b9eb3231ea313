import type { S3ClientConfig } from '@aws-sdk/client-s3';

type Strategy = Exclude<S3ClientConfig['retryStrategy'], undefined>;
type RetryStrategy = Extract<Strategy, { readonly refreshRetryTokenForRetry: unknown }>;
type Token = Awaited<ReturnType<RetryStrategy['acquireInitialRetryToken']>>;
type ErrorInfo = Parameters<RetryStrategy['refreshRetryTokenForRetry']>[1];

/** Attempts while the store has never answered: a wrong endpoint is told within seconds. */
const FIRST_ATTEMPTS = 6;
const BASE_MS = 100;
/** For 429 and SlowDown: coming back soon makes it worse. */
const THROTTLED_BASE_MS = 1000;
const LONGEST_WAIT_MS = 5000;

/**
 * When a request is sent again: on cut connections, timeouts, DNS failures, throttling and 500–504 (as the SDK
 * classifies them), with full jitter, until `patienceMs` have passed since the request's first failure.
 *
 * Not the SDK's standard mode: its six attempts are over within a second and a half, and a snapshot of hours
 * would die with a switch that restarts. Bodies are buffers, so that every request can be sent again; the SDK
 * ends the waits when its abort signal fires.
 */
export function outageRetries(patienceMs: number): RetryStrategy {
  let answered = false;
  return {
    acquireInitialRetryToken: async () => token({ count: 0, delayMs: 0, failingSince: undefined }),
    refreshRetryTokenForRetry: async (last, error) => {
      const now = performance.now();
      const failingSince = sinceOf(last) ?? now;
      const count = last.getRetryCount() + 1;
      const mayWait = answered ? now - failingSince < patienceMs : count < FIRST_ATTEMPTS;
      if (!mayWait || !isTransient(error)) throw new Error('not to be sent again');
      return token({ count, delayMs: delayOf(count, error), failingSince });
    },
    recordSuccess: () => {
      answered = true;
    },
  };
}

interface RetryToken extends Token {
  readonly failingSince: number | undefined;
}

function token(facts: { count: number; delayMs: number; failingSince: number | undefined }): RetryToken {
  return {
    failingSince: facts.failingSince,
    getRetryCount: () => facts.count,
    getRetryDelay: () => facts.delayMs,
  };
}

function sinceOf(last: Token): number | undefined {
  return 'failingSince' in last && typeof last.failingSince === 'number' ? last.failingSince : undefined;
}

function isTransient({ errorType }: ErrorInfo): boolean {
  return errorType === 'TRANSIENT' || errorType === 'THROTTLING';
}

/** Random up to the doubled wait; at least what the store's Retry-After says, within our own limit. */
function delayOf(count: number, error: ErrorInfo): number {
  const base = error.errorType === 'THROTTLING' ? THROTTLED_BASE_MS : BASE_MS;
  const jittered = Math.random() * Math.min(base * 2 ** (count - 1), LONGEST_WAIT_MS);
  const asked = error.retryAfterHint === undefined ? 0 : error.retryAfterHint.getTime() - Date.now();
  return Math.max(jittered, Math.min(asked, LONGEST_WAIT_MS));
}
