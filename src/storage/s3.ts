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
import { Failure, interruption, throwIfAborted } from '../model/failure.ts';
import { failpoint } from '../runtime/failpoints.ts';
import type { Meter } from './meter.ts';
import { createS3Client } from './s3-client.ts';
import type { S3Settings } from './s3-client.ts';
import { afterConflict } from './s3-conflict.ts';
import { httpStatus, s3Failure } from './s3-failures.ts';
import { MultipartUpload } from './s3-multipart.ts';
import { abortUpload, openUploads } from './s3-open-uploads.ts';
import { inParts, partBytes } from './s3-parts.ts';
import type {
  CallOptions,
  GetOptions,
  ListOptions,
  ObjectStat,
  OpenPut,
  PutBody,
  PutOptions,
  PutResult,
  Store,
} from './store.ts';
import { checkedKey, digestOf, refuseUnlessLease } from './store-rules.ts';

/**
 * A bucket, or a prefix in one, as an object store. Small objects go as one put, larger ones as a multipart
 * upload of unknown length with bounded memory; nothing is visible before its last request. Every request
 * carries a SHA-256 (not in the GCS dialect) and outlasts an outage (s3-retries.ts); a put or completion whose
 * answer was lost is told by comparing what is there.
 */
export function createS3Store(settings: S3Settings, meter: Meter): Store {
  return new S3Store(settings, createS3Client(settings, meter));
}

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
      objectLock: settings.objectLock !== undefined,
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
      for await (const part of inParts(body, () => upload?.partBytes ?? partBytes(1))) {
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
    // HTTP has no empty range.
    if (range?.length === 0) return this.#body(undefined, key, signal);
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
      return {
        key,
        sizeBytes: found.ContentLength ?? 0,
        modified: found.LastModified ?? new Date(0),
        lockedUntil: found.ObjectLockRetainUntilDate,
      };
    } catch (error) {
      // HEAD has no body: a missing bucket and a missing key look alike, and the next call tells them apart.
      if (httpStatus(error) === 404) return undefined;
      throw this.#failure(error, key, options.signal);
    }
  }

  async *list(prefix: string, options: ListOptions): AsyncIterable<ObjectStat> {
    const root = this.#settings.prefix === '' ? '' : `${this.#settings.prefix}/`;
    let token: string | undefined;
    do {
      const page = await this.#send(prefix, options.signal, () =>
        this.#client.send(
          new ListObjectsV2Command({
            Bucket: this.#settings.bucket,
            Prefix: root + prefix,
            ...(options.after !== undefined && { StartAfter: root + options.after }),
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

  async *openPuts(prefix: string, options: CallOptions): AsyncIterable<OpenPut> {
    const { bucket: Bucket } = this.#settings;
    const root = this.#settings.prefix === '' ? '' : `${this.#settings.prefix}/`;
    for await (const { key, ...upload } of openUploads(
      this.#client,
      { Bucket, Prefix: root + prefix },
      (list) => this.#send(prefix, options.signal, list),
    ))
      yield { key: key.slice(root.length), ...upload };
  }

  async abandon({ key, id }: OpenPut, options: CallOptions): Promise<void> {
    await this.#send(key, options.signal, () =>
      abortUpload(this.#client, { ...this.#at(key), UploadId: id }, options.signal),
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

  /** S3 wants a checksum beside it; every put has one in the dialect that knows locks. */
  #retention() {
    const { objectLock } = this.#settings;
    if (objectLock === undefined) return {};
    const until = new Date(Date.now() + objectLock.retainDays * 86_400_000);
    return { ObjectLockMode: objectLock.mode, ObjectLockRetainUntilDate: until };
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
    await failpoint('s3.before-put');
    for (let conflicts = 0; ; conflicts += 1) {
      try {
        await this.#client.send(
          new PutObjectCommand({
            Bucket: this.#settings.bucket,
            Key,
            Body: body,
            ContentType: options.contentType ?? 'application/octet-stream',
            ...this.#attributes(),
            ...this.#retention(),
            ...this.#checksum(body),
            ...(this.#settings.dialect === 'aws' && { IfNoneMatch: '*' }),
          }),
          { abortSignal: options.signal },
        );
        await failpoint('s3.after-put');
        return true;
      } catch (error) {
        if (httpStatus(error) === 412) return false;
        // 409: another put of the same key is under way; its end decides.
        await afterConflict(error, { conflicts, signal: options.signal });
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
      attributes: { ...this.#attributes(), ...this.#retention() },
      checksums: this.#settings.dialect === 'aws',
      isTaken: () => this.#refuseTaken(Key, options.signal),
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
    // An upload can vanish: a bucket's lifecycle rule or another program aborted it.
    if (found === undefined) {
      throw new Failure('repository.error', `${key}: the store dropped the upload and holds no such object`, {
        facts: { object: key, location: this.location },
        remedy: 'try again; if it happens again, look at the bucket’s rules for incomplete uploads',
      });
    }
    if (found.sizeBytes !== mine.sizeBytes) return 'differs';
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
