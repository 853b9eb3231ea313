/**
 * A token bucket, kept as the time up to which its tokens are spent (the generic cell rate algorithm, ITU-T I.371):
 * no refill runs in the background, and no queue is kept. Whoever asks is told at once how long to wait, in the
 * order of asking, so that nobody can be overtaken or forgotten.
 */
export interface TokenBucket {
  readonly bytesPerSecond: number;
  /** How far spending may run ahead of the clock: what timers are late by is made up for within it. */
  readonly burstMs: number;
  /** On a monotonic clock. */
  readonly spentUntilMs: number;
}

export function fullBucket(bytesPerSecond: number, burstMs: number): TokenBucket {
  return { bytesPerSecond, burstMs, spentUntilMs: -Infinity };
}

/** Takes tokens for `bytes`: the bucket afterwards, and how long to wait before they may be used. */
export function take(
  bucket: TokenBucket,
  bytes: number,
  nowMs: number,
): { readonly bucket: TokenBucket; readonly waitMs: number } {
  const from = Math.max(bucket.spentUntilMs, nowMs);
  const spentUntilMs = from + (1000 * bytes) / bucket.bytesPerSecond;
  return {
    bucket: { ...bucket, spentUntilMs },
    waitMs: Math.max(0, from - nowMs - bucket.burstMs),
  };
}
