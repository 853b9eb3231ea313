import { availableParallelism } from 'node:os';
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { Failure } from '../model/failure.ts';
import type { CodecAnswer, CodecTask } from './codec-thread.ts';
import { compressBound } from './compression.ts';
import { lend } from './external-memory.ts';
import { PART_BYTES } from './member-name.ts';

type Wanted = Omit<CodecTask, 'output' | 'input'> & { readonly input: Uint8Array };

interface Waiting {
  readonly wanted: Wanted;
  readonly resolve: (made: Buffer) => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * Threads that compress or decompress parts of at most PART_BYTES. What they make is lent: `release` it when it
 * was used. libuv's threads do the same work, but each result is memory made anew on this thread's account, and the
 * collections that V8 starts for it cost as much as a third of the compression (`npm run bench`).
 */
export class CodecThreads {
  readonly #most: number;
  readonly #idle: CodecThread[] = [];
  readonly #threads = new Set<CodecThread>();
  readonly #waiting: Waiting[] = [];
  readonly #free: SharedArrayBuffer[] = [];
  #closed = false;

  /** At most so many threads, and no more than there are cores. They are started when needed. */
  constructor(options: { readonly most: number }) {
    this.#most = Math.max(1, Math.min(options.most, availableParallelism()));
  }

  /** One part as one frame. */
  compress(input: Uint8Array, codec: CodecTask['codec']): Promise<Buffer> {
    return this.#ask({ kind: 'compress', codec, input, maxBytes: compressBound(input.length) });
  }

  /** Undoes `compress`; makes at most `maxBytes`. Fails as `decompress` does. */
  decompress(
    input: Uint8Array,
    codec: CodecTask['codec'],
    limits: { readonly maxBytes: number },
  ): Promise<Buffer> {
    return this.#ask({ kind: 'decompress', codec, input, maxBytes: limits.maxBytes });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    for (const { reject } of this.#waiting.splice(0)) reject(closed());
    await Promise.all([...this.#threads].map((thread) => thread.end()));
  }

  #ask(wanted: Wanted): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      if (this.#closed) reject(closed());
      else this.#waiting.push({ wanted, resolve, reject });
      this.#next();
    });
  }

  #next(): void {
    if (this.#waiting.length === 0) return;
    const thread = this.#idle.pop() ?? this.#start();
    const job = thread && this.#waiting.shift();
    if (job !== undefined) void this.#run(thread as CodecThread, job);
  }

  #start(): CodecThread | undefined {
    if (this.#threads.size >= this.#most) return undefined;
    const thread = new CodecThread(compressBound(PART_BYTES));
    this.#threads.add(thread);
    return thread;
  }

  async #run(thread: CodecThread, { wanted, resolve, reject }: Waiting): Promise<void> {
    const output = this.#free.pop() ?? new SharedArrayBuffer(compressBound(PART_BYTES));
    try {
      const bytes = await thread.run({ ...wanted, output });
      resolve(lend(output, bytes, () => this.#free.push(output)));
    } catch (error) {
      this.#free.push(output);
      reject(error);
    }
    if (thread.ended) this.#threads.delete(thread);
    else this.#idle.push(thread);
    this.#next();
  }
}

/** One thread, which does one task at a time. */
class CodecThread {
  readonly #worker: Worker;
  /** For input that is not shared already. */
  readonly #input: SharedArrayBuffer;
  #settle: ((answer: CodecAnswer | Error) => void) | undefined;
  ended = false;

  constructor(inputBytes: number) {
    this.#input = new SharedArrayBuffer(inputBytes);
    // Beside this file, in whatever form this file runs.
    this.#worker = new Worker(new URL(`./codec-thread${extname(import.meta.url)}`, import.meta.url));
    this.#worker.on('message', (answer: CodecAnswer) => this.#settle?.(answer));
    this.#worker.on('error', (error) => this.#over(error));
    this.#worker.on('exit', () => this.#over(closed()));
  }

  /** Bytes made. */
  async run(task: CodecTask): Promise<number> {
    if (this.ended) throw closed();
    const answered = new Promise<CodecAnswer | Error>((resolve) => (this.#settle = resolve));
    this.#worker.postMessage({ ...task, input: this.#shared(task.input) } satisfies CodecTask);
    const answer = await answered;
    if (answer instanceof Error) throw answer;
    if ('failed' in answer) throw new Failure(answer.failed.code, answer.failed.message);
    return answer.bytes;
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  #shared(input: Uint8Array): Uint8Array {
    if (input.buffer instanceof SharedArrayBuffer) return input;
    const copy = new Uint8Array(this.#input, 0, input.length);
    copy.set(input);
    return copy;
  }

  #over(error: unknown): void {
    this.ended = true;
    this.#settle?.(error instanceof Error ? error : new Error(String(error)));
  }
}

function closed(): Error {
  return new Error('the threads that compress were ended');
}
