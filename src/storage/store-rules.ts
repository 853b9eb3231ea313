import { createHash } from 'node:crypto';
import { Failure } from '../model/failure.ts';

/** Whether any store takes this key and none can be led out of its root by it. */
export function isKey(key: string): boolean {
  if (!/^[A-Za-z0-9._/-]{1,1000}$/.test(key)) return false;
  return key.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
}

/** The key itself. Fails with `repository.error` when it is none. */
export function checkedKey(key: string): string {
  if (isKey(key)) return key;
  throw new Failure('repository.error', `not a key: ${JSON.stringify(key)}`, { facts: { object: key } });
}

/** Only leases are mutable (P2). */
export function refuseUnlessLease(key: string): void {
  if (!key.split('/').includes('leases')) {
    throw new Failure('repository.error', `${key} is not a lease and is never replaced`, {
      facts: { object: key },
    });
  }
}

export async function digestOf(
  source: AsyncIterable<Uint8Array>,
): Promise<{ sizeBytes: number; sha256: string }> {
  const digest = createHash('sha256');
  let sizeBytes = 0;
  for await (const chunk of source) {
    digest.update(chunk);
    sizeBytes += chunk.length;
  }
  return { sizeBytes, sha256: digest.digest('hex') };
}
