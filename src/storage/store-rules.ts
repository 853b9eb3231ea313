import { createHash } from 'node:crypto';
import { Failure } from '../model/failure.ts';

/** A key that any store takes and that can't leave its root. Fails with `repository.error`. */
export function checkedKey(key: string): string {
  const parts = key.split('/');
  const plain = /^[A-Za-z0-9._/-]{1,1000}$/.test(key);
  if (!plain || parts.some((part) => part === '' || part === '.' || part === '..')) {
    throw new Failure('repository.error', `not a key: ${JSON.stringify(key)}`, { facts: { object: key } });
  }
  return key;
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
