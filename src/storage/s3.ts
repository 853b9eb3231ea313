import { createHash } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import type { S3Client } from '@aws-sdk/client-s3';
import { interruption, throwIfAborted } from '../model/failure.ts';
import type { Failure } from '../model/failure.ts';
import { createS3Client } from './s3-client.ts';
import type { S3Settings } from './s3-client.ts';
import { errorName, httpStatus, s3Failure } from './s3-failures.ts';
import { MultipartUpload } from './s3-multipart.ts';
import type { CallOptions, GetOptions, ObjectStat, PutBody, PutOptions, PutResult, Store } from './store.ts';
import { checkedKey, digestOf, refuseUnlessLease } from './store-rules.ts';

/**
 * A bucket, or a prefix in one, as an object store. Small objects go as one put, larger ones as a multipart
 * upload of unknown length with bounded memory; nothing is visible before its last request. Every request
 * carries a SHA-256 (not in the GCS dialect) and is retried by the SDK; a put or completion whose answer was
 * lost is told by comparing what is there.
 */
export function createS3Store(settings: S3Settings): Store {
  return new S3Store(settings, createS3Client(settings));
}

/** First part size; an object below it is one put. Also S3's unit of waste when an upload is aborted. */
const PART_BYTES = 8 * 1024 * 1024;

class S3Store implements Store {
  readonly location: string;
  readonly capabilities;
  readonly #client: S3Client;
  readonly #settings: S3Settings;

  constructor(settings: S3Settings, client: S3Client) {
    this.#settings = settings;
    this.#client = client;
    this.location = `${settings.dialect === 'gcs' ? 'gs' : 's3'}://${settings.bucket}${settings.prefix === '' ? '' : `/${settings.prefix}`}`;
    this.capabilities = {
      conditionalPut: settings.dialect === 'aws',
      objectLock: settings.dialect === 'aws',
      atomicReplace: true,
    };
  }

  async putIfAbsent(key: string, body: PutBody, options: PutOptions): Promise<PutResult> {
    const at = this.#at(key);
    setMaxListeners(0, options.signal);
    const digest = createHash('sha256');
    let sizeBytes = 0;
    let upload: MultipartUpload | undefined;
    let first: Buffer | undefined;
    try {
      for await (const part of parts(body, () => upload?.partBytes ?? PART_BYTES)) {
        throwIfAborted(options.signal);
        digest.update(part);
        sizeBytes += part.length;
        if (first === undefined && upload === undefined) first = part;
        else {
          upload ??= await this.#beginUpload(at.Key, { ...options, first });
          first = undefined;
          await upload.add(part);
        }
      }
      throwIfAborted(options.signal);
      const done = { sizeBytes, sha256: digest.digest('hex') };
      const created =
        upload === undefined
          ? await this.#putOnce(at.Key, first ?? Buffer.alloc(0), options)
          : await upload.complete();
      return { outcome: created ? 'created' : await this.#compare(key, done, options.signal), ...done };
    } catch (error) {
      await upload?.abort();
      throw this.#failure(error, key, options.signal);
    }
  }

  async get(key: string, options: GetOptions): Promise<AsyncIterable<Uint8Array>> {
    const { range, signal } = options;
    const bytes =
      range === undefined ? {} : { Range: `bytes=${range.offset}-${range.offset + range.length - 1}` };
    const answer = await this.#send(key, signal, () =>
      this.#client.send(new GetObjectCommand({ ...this.#at(key), ...bytes }), { abortSignal: signal }),
    );
    return this.#body(answer.Body as AsyncIterable<Uint8Array> | undefined, key, signal);
  }

  async stat(key: string, options: CallOptions): Promise<ObjectStat | undefined> {
    try {
      const found = await this.#client.send(new HeadObjectCommand(this.#at(key)), {
        abortSignal: options.signal,
      });
      return { key, sizeBytes: found.ContentLength ?? 0, modified: found.LastModified ?? new Date(0) };
    } catch (error) {
      // HEAD has no body: a missing bucket and a missing key look alike, and the next call tells them apart.
      if (httpStatus(error) === 404) return undefined;
      throw this.#failure(error, key, options.signal);
    }
  }

  async *list(prefix: string, options: CallOptions): AsyncIterable<ObjectStat> {
    const root = this.#settings.prefix === '' ? '' : `${this.#settings.prefix}/`;
    let token: string | undefined;
    do {
      const page = await this.#send(prefix, options.signal, () =>
        this.#client.send(
          new ListObjectsV2Command({
            Bucket: this.#settings.bucket,
            Prefix: root + prefix,
            ...(token !== undefined && { ContinuationToken: token }),
          }),
          { abortSignal: options.signal },
        ),
      );
      for (const object of page.Contents ?? []) {
        const key = (object.Key ?? '').slice(root.length);
        yield { key, sizeBytes: object.Size ?? 0, modified: object.LastModified ?? new Date(0) };
      }
      token = page.IsTruncated === true ? page.NextContinuationToken : undefined;
    } while (token !== undefined);
  }

  async delete(key: string, options: CallOptions): Promise<void> {
    await this.#send(key, options.signal, () =>
      this.#client.send(new DeleteObjectCommand(this.#at(key)), { abortSignal: options.signal }),
    );
  }

  async replace(key: string, body: Uint8Array, options: CallOptions): Promise<void> {
    refuseUnlessLease(key);
    await this.#send(key, options.signal, () =>
      this.#client.send(
        new PutObjectCommand({
          ...this.#at(key),
          ...this.#attributes(),
          ...this.#checksum(body),
          Body: body,
        }),
        {
          abortSignal: options.signal,
        },
      ),
    );
  }

  close(): Promise<void> {
    this.#client.destroy();
    return Promise.resolve();
  }

  #at(key: string): { Bucket: string; Key: string } {
    const { bucket, prefix } = this.#settings;
    return { Bucket: bucket, Key: prefix === '' ? checkedKey(key) : `${prefix}/${checkedKey(key)}` };
  }

  /** What every new object is stored with. */
  #attributes() {
    const { sse, sseKmsKeyId, storageClass } = this.#settings;
    return {
      ...(sse !== undefined && { ServerSideEncryption: sse }),
      ...(sseKmsKeyId !== undefined && { SSEKMSKeyId: sseKmsKeyId }),
      ...(storageClass !== undefined && { StorageClass: storageClass as 'STANDARD' }),
    };
  }

  #checksum(body: Uint8Array) {
    if (this.#settings.dialect === 'gcs') return {};
    const sha256 = createHash('sha256').update(body).digest('base64');
    return { ChecksumAlgorithm: 'SHA256' as const, ChecksumSHA256: sha256 };
  }

  /** Google ignores the condition: a look before is all there is, and ids are unique (`conditionalPut`). */
  async #refuseTaken(Key: string, signal: AbortSignal): Promise<boolean> {
    if (this.#settings.dialect === 'aws') return false;
    const key = this.#settings.prefix === '' ? Key : Key.slice(this.#settings.prefix.length + 1);
    return (await this.stat(key, { signal })) !== undefined;
  }

  /** False when the key is taken. */
  async #putOnce(Key: string, body: Buffer, options: PutOptions): Promise<boolean> {
    if (await this.#refuseTaken(Key, options.signal)) return false;
    for (;;) {
      try {
        await this.#client.send(
          new PutObjectCommand({
            Bucket: this.#settings.bucket,
            Key,
            Body: body,
            ContentType: options.contentType ?? 'application/octet-stream',
            ...this.#attributes(),
            ...this.#checksum(body),
            ...(this.#settings.dialect === 'aws' && { IfNoneMatch: '*' }),
          }),
          { abortSignal: options.signal },
        );
        return true;
      } catch (error) {
        if (httpStatus(error) === 412) return false;
        // Another put of the same key is under way: its end decides.
        if (errorName(error) !== 'ConditionalRequestConflict') throw error;
        throwIfAborted(options.signal);
      }
    }
  }

  async #beginUpload(
    Key: string,
    options: PutOptions & { readonly first: Buffer | undefined },
  ): Promise<MultipartUpload> {
    const upload = await MultipartUpload.begin({
      client: this.#client,
      bucket: this.#settings.bucket,
      key: Key,
      contentType: options.contentType ?? 'application/octet-stream',
      attributes: this.#attributes(),
      checksums: this.#settings.dialect === 'aws',
      isTaken: () => this.#refuseTaken(Key, options.signal),
      partBytes: PART_BYTES,
      signal: options.signal,
    });
    if (options.first !== undefined) await upload.add(options.first);
    return upload;
  }

  async #compare(
    key: string,
    mine: { sizeBytes: number; sha256: string },
    signal: AbortSignal,
  ): Promise<'same' | 'differs'> {
    const found = await this.stat(key, { signal });
    if (found?.sizeBytes !== mine.sizeBytes) return 'differs';
    const there = await digestOf(await this.get(key, { signal }));
    return there.sha256 === mine.sha256 ? 'same' : 'differs';
  }

  async *#body(
    body: AsyncIterable<Uint8Array> | undefined,
    key: string,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of body ?? []) yield chunk;
    } catch (error) {
      throw this.#failure(error, key, signal);
    }
  }

  async #send<T>(key: string, signal: AbortSignal, act: () => Promise<T>): Promise<T> {
    throwIfAborted(signal);
    setMaxListeners(0, signal);
    try {
      return await act();
    } catch (error) {
      throw this.#failure(error, key, signal);
    }
  }

  #failure(error: unknown, key: string, signal: AbortSignal): Failure {
    return signal.aborted ? interruption(signal) : s3Failure(error, { key, location: this.location });
  }
}

/** Cuts a body into parts of the size that is asked for now; the last one is shorter. */
async function* parts(body: PutBody, partBytes: () => number): AsyncGenerator<Buffer> {
  let waiting: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body instanceof Uint8Array ? [body] : body) {
    let rest = chunk;
    while (size + rest.length >= partBytes()) {
      const taken = partBytes() - size;
      yield Buffer.concat([...waiting, rest.subarray(0, taken)]);
      rest = rest.subarray(taken);
      waiting = [];
      size = 0;
    }
    if (rest.length > 0) {
      waiting.push(rest);
      size += rest.length;
    }
  }
  if (size > 0) yield Buffer.concat(waiting);
}
