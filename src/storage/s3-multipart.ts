import { createHash } from 'node:crypto';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import type { CompletedPart, CreateMultipartUploadCommandInput, S3Client } from '@aws-sdk/client-s3';
import { release } from '../archive/external-memory.ts';
import { Failure } from '../model/failure.ts';
import { failpoint } from '../runtime/failpoints.ts';
import { afterConflict } from './s3-conflict.ts';
import { errorName, httpStatus } from './s3-failures.ts';
import { partBytes } from './s3-parts.ts';

interface UploadOptions {
  readonly client: S3Client;
  readonly bucket: string;
  readonly key: string;
  readonly contentType: string;
  readonly attributes: Partial<CreateMultipartUploadCommandInput>;
  readonly checksums: boolean;
  /** For stores that know no conditions: whether the key is taken now. */
  readonly isTaken: () => Promise<boolean>;
  readonly signal: AbortSignal;
}

/** Parts under way at once: enough to hide a round trip, and all the memory an upload takes. */
const PARTS_IN_FLIGHT = 2;
const ABORT_MS = 10_000;

/** One multipart upload: the object appears with `complete`, or never. */
export class MultipartUpload {
  readonly #options: UploadOptions;
  readonly #uploadId: string;
  readonly #done: CompletedPart[] = [];
  readonly #inFlight = new Set<Promise<void>>();
  /** The request that began it was tried again: what its lost answers named has to be looked for. */
  readonly #maybeTwice: boolean;
  #next = 1;
  #failed: Error | undefined;

  private constructor(
    options: UploadOptions,
    begun: { readonly uploadId: string; readonly maybeTwice: boolean },
  ) {
    this.#options = options;
    this.#uploadId = begun.uploadId;
    this.#maybeTwice = begun.maybeTwice;
  }

  static async begin(options: UploadOptions): Promise<MultipartUpload> {
    const { UploadId, $metadata } = await options.client.send(
      new CreateMultipartUploadCommand({
        Bucket: options.bucket,
        Key: options.key,
        ContentType: options.contentType,
        ...options.attributes,
        ...(options.checksums && { ChecksumAlgorithm: 'SHA256' as const }),
      }),
      { abortSignal: options.signal },
    );
    if (UploadId === undefined)
      throw new Failure('repository.error', 'the store gave a multipart upload no id');
    return new MultipartUpload(options, { uploadId: UploadId, maybeTwice: ($metadata.attempts ?? 1) > 1 });
  }

  /** Size that the next part should have. */
  get partBytes(): number {
    return partBytes(this.#next);
  }

  /** Sends a part; waits while too many are under way. */
  async add(body: Buffer): Promise<void> {
    this.#refuseFailed();
    const number = this.#next;
    this.#next += 1;
    const sending = this.#send(number, body);
    this.#inFlight.add(sending);
    void sending.finally(() => this.#inFlight.delete(sending));
    if (this.#inFlight.size >= PARTS_IN_FLIGHT) await Promise.race(this.#inFlight);
    this.#refuseFailed();
  }

  /** False when the key is taken; the upload is gone then. */
  async complete(): Promise<boolean> {
    await Promise.all(this.#inFlight);
    this.#refuseFailed();
    const { client, bucket, key, signal, checksums, isTaken } = this.#options;
    if (await isTaken()) {
      await this.abort();
      return false;
    }
    const Parts = this.#done.sort((a, b) => (a.PartNumber ?? 0) - (b.PartNumber ?? 0));
    await failpoint('s3.before-complete');
    for (let conflicts = 0; ; conflicts += 1) {
      try {
        await client.send(
          new CompleteMultipartUploadCommand({
            Bucket: bucket,
            Key: key,
            UploadId: this.#uploadId,
            MultipartUpload: { Parts },
            ...(checksums && { IfNoneMatch: '*' }),
          }),
          { abortSignal: signal },
        );
        await failpoint('s3.after-complete');
        await this.#abortStrays();
        return true;
      } catch (error) {
        // Taken by another; or by ourselves, when the answer of an attempt before was lost.
        if (httpStatus(error) === 412 || errorName(error) === 'NoSuchUpload') {
          await this.abort();
          return false;
        }
        // 409: another request for this key is under way, perhaps our own whose connection was cut.
        await afterConflict(error, { conflicts, signal });
      }
    }
  }

  /** Leaves no part behind. Never throws: the store may be what failed. */
  async abort(): Promise<void> {
    await Promise.allSettled(this.#inFlight);
    const { client, bucket, key } = this.#options;
    const command = new AbortMultipartUploadCommand({ Bucket: bucket, Key: key, UploadId: this.#uploadId });
    await client.send(command, { abortSignal: AbortSignal.timeout(ABORT_MS) }).catch(() => undefined);
    await this.#abortStrays();
  }

  /** Uploads of this key that a lost answer has kept from us. Never throws: they hold no parts and count for nothing. */
  async #abortStrays(): Promise<void> {
    if (!this.#maybeTwice) return;
    const { client, bucket: Bucket, key: Key } = this.#options;
    const within = { abortSignal: AbortSignal.timeout(ABORT_MS) };
    try {
      const { Uploads = [] } = await client.send(
        new ListMultipartUploadsCommand({ Bucket, Prefix: Key }),
        within,
      );
      for (const { Key: found, UploadId } of Uploads) {
        if (found === Key && UploadId !== this.#uploadId)
          await client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }), within);
      }
    } catch {
      // A role without s3:ListBucketMultipartUploads may still take snapshots.
    }
  }

  #refuseFailed(): void {
    if (this.#failed !== undefined) throw this.#failed;
  }

  async #send(PartNumber: number, Body: Buffer): Promise<void> {
    const { client, bucket, key, checksums, signal } = this.#options;
    const sha256 = checksums ? createHash('sha256').update(Body).digest('base64') : undefined;
    const checksum =
      sha256 === undefined ? {} : { ChecksumAlgorithm: 'SHA256' as const, ChecksumSHA256: sha256 };
    try {
      const { ETag } = await client.send(
        new UploadPartCommand({
          Bucket: bucket,
          Key: key,
          UploadId: this.#uploadId,
          PartNumber,
          Body,
          ...checksum,
        }),
        { abortSignal: signal },
      );
      release(Body);
      await failpoint('s3.part-sent');
      this.#done.push({ PartNumber, ETag, ...(sha256 !== undefined && { ChecksumSHA256: sha256 }) });
    } catch (error) {
      this.#failed ??= error instanceof Error ? error : new Error(String(error));
    }
  }
}
