import { fileURLToPath } from 'node:url';
import { Failure } from '../model/failure.ts';
import { createFolderStore } from './folder.ts';
import { Meter, withMeter } from './meter.ts';
import { withRateLimits } from './rate-limit.ts';
import type { RateLimits } from './rate-limit.ts';
import { withResumableReads } from './resumable-read.ts';
import type { S3Settings } from './s3-client.ts';
import type { Store } from './store.ts';

export interface StoreSettings extends Omit<Partial<S3Settings>, 'bucket' | 'prefix' | 'dialect'> {
  /** A folder, `file:///…`, `s3://bucket/prefix` or `gs://bucket/prefix`. */
  readonly url: string;
}

const GCS_ENDPOINT = 'https://storage.googleapis.com';

/** What is shared by all stores of a process. */
export interface StoreSharing {
  readonly meter?: Meter;
  readonly limits?: RateLimits;
}

/**
 * Opens a store without touching it. A bucket URL may carry `endpoint`, `region`, `path-style` and `profile` as
 * parameters; settings given beside it win. What is read again after a cut is counted and limited as it moves:
 * resumable reads are the outermost. Fails with `config.invalid`.
 */
export async function openStore(settings: StoreSettings, sharing: StoreSharing = {}): Promise<Store> {
  const { url } = settings;
  const { meter = new Meter(), limits = {} } = sharing;
  const folder = (root: string): Store =>
    withRateLimits(withMeter(createFolderStore({ root }), meter, { requests: 'by call' }), limits);
  if (url.startsWith('file://')) return folder(fileURLToPath(url));
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(url)?.[1]?.toLowerCase();
  if (scheme === undefined) return folder(url);
  if (scheme === 's3' || scheme === 'gs') {
    // The SDK is a good part of this program's start-up time and heap; a folder needs none of it.
    const { createS3Store } = await import('./s3.ts');
    const bucket = createS3Store(bucketSettings(settings, scheme), meter);
    return withResumableReads(withRateLimits(withMeter(bucket, meter, { requests: 'by driver' }), limits));
  }
  throw new Failure('config.invalid', `no store for ${scheme}:// URLs`, {
    remedy: 'use a folder, s3://bucket/prefix or gs://bucket/prefix',
  });
}

function bucketSettings(settings: StoreSettings, scheme: 's3' | 'gs'): S3Settings {
  const parsed = URL.parse(settings.url);
  const known = new Set(['endpoint', 'region', 'path-style', 'profile']);
  const unknown = [...(parsed?.searchParams.keys() ?? [])].find((name) => !known.has(name));
  if (parsed === null || parsed.hostname === '' || unknown !== undefined) {
    throw new Failure(
      'config.invalid',
      `not a bucket URL${unknown === undefined ? '' : `: unknown parameter ${unknown}`}`,
      {
        remedy: 'write s3://bucket/prefix?endpoint=https://…&region=…&path-style=true&profile=…',
      },
    );
  }
  const parameter = (name: string): string | undefined => parsed.searchParams.get(name) ?? undefined;
  const { url: _, ...given } = settings;
  return {
    endpoint: parameter('endpoint') ?? (scheme === 'gs' ? GCS_ENDPOINT : undefined),
    region: parameter('region'),
    pathStyle: parameter('path-style') === undefined ? undefined : parameter('path-style') === 'true',
    profile: parameter('profile'),
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
    bucket: parsed.hostname,
    prefix: decodeURIComponent(parsed.pathname).replaceAll(/^\/+|\/+$/g, ''),
    dialect: scheme === 'gs' ? 'gcs' : 'aws',
  };
}
