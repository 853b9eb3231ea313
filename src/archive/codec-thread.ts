// One thread of codec-threads.ts. What it works on and what it makes lie in memory that both sides share.
import { parentPort } from 'node:worker_threads';
import { asFailure } from '../model/failure.ts';
import type { FailureCode } from '../model/failure-codes.ts';
import { compressNow, decompressNow } from './compression.ts';
import { release } from './external-memory.ts';
import type { Compression } from './manifest.ts';

export interface CodecTask {
  readonly kind: 'compress' | 'decompress';
  readonly codec: Exclude<Compression, 'none'>;
  readonly input: Uint8Array;
  /** Has room for what is made: more is a failure. */
  readonly output: SharedArrayBuffer;
  /** Bytes that may be made. */
  readonly maxBytes: number;
}

export type CodecAnswer =
  | { readonly bytes: number }
  | { readonly failed: { readonly code: FailureCode; readonly message: string } };

function run({ kind, codec, input, output, maxBytes }: CodecTask): CodecAnswer {
  try {
    const made = kind === 'compress' ? compressNow(input, codec) : decompressNow(input, codec, { maxBytes });
    const bytes = made.length;
    new Uint8Array(output).set(made);
    release(made);
    return { bytes };
  } catch (error) {
    const { code, message } = asFailure(error);
    return { failed: { code, message } };
  }
}

parentPort?.on('message', (task: CodecTask) => parentPort?.postMessage(run(task)));
