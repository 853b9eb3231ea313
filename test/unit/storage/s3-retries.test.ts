import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { outageRetries } from '../../../src/storage/s3-retries.ts';

// The strategy reads the clock and waits nowhere itself: time is moved by hand.
beforeEach(() => void vi.useFakeTimers({ toFake: ['Date', 'performance'] }));
afterEach(() => void vi.useRealTimers());

type ErrorType = 'TRANSIENT' | 'THROTTLING' | 'SERVER_ERROR' | 'CLIENT_ERROR';

/** Delays that are given until it gives up, each one waited for. */
async function delays(
  retries: ReturnType<typeof outageRetries>,
  errorType: ErrorType,
  retryAfterHint?: () => Date,
): Promise<number[]> {
  let token = await retries.acquireInitialRetryToken('');
  const given: number[] = [];
  for (;;) {
    try {
      const hint = retryAfterHint?.();
      token = await retries.refreshRetryTokenForRetry(token, {
        errorType,
        ...(hint !== undefined && { retryAfterHint: hint }),
      });
    } catch {
      return given;
    }
    expect(token.getRetryCount()).toBe(given.length + 1);
    given.push(token.getRetryDelay());
    vi.advanceTimersByTime(Math.max(token.getRetryDelay(), 1));
    if (given.length > 100_000) throw new Error('it never gives up');
  }
}

async function answered(patienceMs: number): Promise<ReturnType<typeof outageRetries>> {
  const retries = outageRetries(patienceMs);
  retries.recordSuccess(await retries.acquireInitialRetryToken(''));
  return retries;
}

test('a store that has never answered gets six attempts', async () => {
  expect(await delays(outageRetries(600_000), 'TRANSIENT')).toHaveLength(5);
});

test('one that has answered is waited for until patience ends, at most five seconds at a time', async () => {
  const retries = await answered(120_000);
  for (const errorType of ['TRANSIENT', 'THROTTLING'] as const) {
    const given = await delays(retries, errorType);
    const total = given.reduce((sum, delay) => sum + Math.max(delay, 1), 0);
    expect(total).toBeGreaterThanOrEqual(120_000);
    expect(total).toBeLessThan(126_000);
    expect(Math.max(...given)).toBeLessThanOrEqual(5000);
  }
});

test('each request has its own patience', async () => {
  const retries = await answered(10_000);
  expect((await delays(retries, 'TRANSIENT')).length).toBeGreaterThan(3);
  expect((await delays(retries, 'TRANSIENT')).length).toBeGreaterThan(3);
});

test.for(['CLIENT_ERROR', 'SERVER_ERROR'] as const)('%s is never sent again', async (errorType) => {
  expect(await delays(await answered(120_000), errorType)).toEqual([]);
});

test('Retry-After is heeded, within our own limit', async () => {
  const inSeconds = (seconds: number) => () => new Date(Date.now() + seconds * 1000);
  const [first = 0] = await delays(await answered(20_000), 'THROTTLING', inSeconds(4));
  expect(first).toBeGreaterThanOrEqual(3990);
  const [long = 0] = await delays(await answered(20_000), 'THROTTLING', inSeconds(3600));
  expect(long).toBe(5000);
});
