import { AbortMultipartUploadCommand, ListMultipartUploadsCommand } from '@aws-sdk/client-s3';
import type { ListMultipartUploadsCommandOutput, S3Client } from '@aws-sdk/client-s3';
import { errorName } from './s3-failures.ts';

interface OpenUpload {
  /** With the bucket's prefix. */
  readonly key: string;
  readonly id: string;
  readonly since: Date;
}

/** Multipart uploads that were neither completed nor aborted. `send` makes each request, and a Failure of what it throws. */
export async function* openUploads(
  client: S3Client,
  at: { readonly Bucket: string; readonly Prefix: string },
  send: (
    list: () => Promise<ListMultipartUploadsCommandOutput>,
  ) => Promise<ListMultipartUploadsCommandOutput>,
): AsyncGenerator<OpenUpload> {
  let marker: { KeyMarker?: string | undefined; UploadIdMarker?: string | undefined } | undefined = {};
  while (marker !== undefined) {
    const page: ListMultipartUploadsCommandOutput = await send(() =>
      client.send(new ListMultipartUploadsCommand({ ...at, ...marker })),
    );
    for (const { Key, UploadId, Initiated } of page.Uploads ?? [])
      if (Key !== undefined && UploadId !== undefined)
        yield { key: Key, id: UploadId, since: Initiated ?? new Date() };
    marker =
      page.IsTruncated === true
        ? { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker }
        : undefined;
  }
}

export async function abortUpload(
  client: S3Client,
  upload: { readonly Bucket: string; readonly Key: string; readonly UploadId: string },
  signal: AbortSignal,
): Promise<void> {
  try {
    await client.send(new AbortMultipartUploadCommand(upload), { abortSignal: signal });
  } catch (error) {
    if (errorName(error) !== 'NoSuchUpload') throw error;
  }
}
