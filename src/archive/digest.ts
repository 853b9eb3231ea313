import { createHash, hash } from 'node:crypto';
import { Failure } from '../model/failure.ts';

/** SHA-256 as lower-case hex. */
export function sha256Hex(bytes: Uint8Array): string {
  return hash('sha256', bytes, 'hex');
}

export interface StreamDigest {
  readonly sizeBytes: number;
  readonly sha256: string;
}

/** Passes a stream on and counts and digests it on the way; `result` is valid when it was read to its end. */
function digesting(source: AsyncIterable<Uint8Array>): {
  readonly body: AsyncIterable<Uint8Array>;
  /** Bytes passed so far. */
  size(): number;
  result(): StreamDigest;
} {
  const digest = createHash('sha256');
  let sizeBytes = 0;
  const pass = async function* (): AsyncGenerator<Uint8Array> {
    for await (const chunk of source) {
      digest.update(chunk);
      sizeBytes += chunk.length;
      yield chunk;
    }
  };
  return {
    body: pass(),
    size: () => sizeBytes,
    result: () => ({ sizeBytes, sha256: digest.copy().digest('hex') }),
  };
}

/**
 * Passes a stream on and fails at its end when it is not what was stored: with `integrity.truncated` or
 * `integrity.digest`. What was yielded before is not proven until then.
 */
export async function* checked(
  source: AsyncIterable<Uint8Array>,
  expected: StreamDigest & { readonly key: string },
): AsyncGenerator<Uint8Array> {
  const passed = digesting(source);
  for await (const chunk of passed.body) {
    if (passed.size() > expected.sizeBytes)
      throw wrong(expected.key, 'integrity.digest', 'is longer than it was');
    yield chunk;
  }
  const { sizeBytes, sha256 } = passed.result();
  if (sizeBytes < expected.sizeBytes)
    throw wrong(expected.key, 'integrity.truncated', 'is shorter than it was');
  if (sha256 !== expected.sha256) throw wrong(expected.key, 'integrity.digest', 'is not what was stored');
}

function wrong(key: string, code: 'integrity.digest' | 'integrity.truncated', what: string): Failure {
  return new Failure(code, `${key} ${what}`, { facts: { object: key } });
}
