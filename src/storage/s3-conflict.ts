import { setTimeout as wait } from 'node:timers/promises';
import { interruption } from '../model/failure.ts';
import { errorName } from './s3-failures.ts';

const TRIES = 20;
const WAIT_MS = 500;

/**
 * Returns when a conditional write may be sent again: it met another one for the same key (409, not 412), which
 * will have ended soon. Throws anything else, and the conflict itself when it doesn't end.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
 */
export async function afterConflict(
  error: unknown,
  options: { readonly conflicts: number; readonly signal: AbortSignal },
): Promise<void> {
  if (errorName(error) !== 'ConditionalRequestConflict' || options.conflicts >= TRIES) throw error;
  const { signal } = options;
  try {
    await wait(WAIT_MS * (0.5 + Math.random()), undefined, { signal });
  } catch {
    throw interruption(signal);
  }
}
