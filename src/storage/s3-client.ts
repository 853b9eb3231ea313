import { S3Client } from '@aws-sdk/client-s3';
import type { S3ClientConfig } from '@aws-sdk/client-s3';
import { fromIni, fromTemporaryCredentials } from '@aws-sdk/credential-providers';

export interface S3Settings {
  readonly bucket: string;
  /** Without slashes at its ends; empty for the bucket's root. */
  readonly prefix: string;
  readonly endpoint?: string | undefined;
  readonly region?: string | undefined;
  readonly pathStyle?: boolean | undefined;
  readonly sse?: 'AES256' | 'aws:kms' | undefined;
  readonly sseKmsKeyId?: string | undefined;
  readonly storageClass?: string | undefined;
  /** Name of a profile in ~/.aws; with `roleArn` the profile that assumes the role. */
  readonly profile?: string | undefined;
  readonly roleArn?: string | undefined;
  readonly accessKeyId?: string | undefined;
  readonly secretAccessKey?: string | undefined;
  readonly sessionToken?: string | undefined;
  /** `gcs`: Google's XML API, which refuses the SDK's checksums and ignores conditions. */
  readonly dialect: 'aws' | 'gcs';
}

const CONNECT_TIMEOUT_MS = 10_000;
/** A socket without a byte for this long is dead; also ends a request to a server that never answers. */
const SILENCE_TIMEOUT_MS = 60_000;
/** The SDK's standard mode: exponential with jitter, for resets, timeouts, 429, 500, 502, 503, 504. */
const MAX_ATTEMPTS = 6;

/** Credentials: keys given here, else a role, else a profile, else the SDK's own chain. */
export function createS3Client(settings: S3Settings): S3Client {
  const checksums = settings.dialect === 'gcs' ? 'WHEN_REQUIRED' : 'WHEN_SUPPORTED';
  const config: S3ClientConfig = {
    region: settings.region ?? (settings.dialect === 'gcs' ? 'auto' : 'us-east-1'),
    maxAttempts: MAX_ATTEMPTS,
    retryMode: 'standard',
    forcePathStyle: settings.pathStyle ?? settings.endpoint !== undefined,
    requestChecksumCalculation: checksums,
    // Ours are compared instead: a range has no checksum of the store's.
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: { connectionTimeout: CONNECT_TIMEOUT_MS, socketTimeout: SILENCE_TIMEOUT_MS },
    ...(settings.endpoint !== undefined && { endpoint: settings.endpoint }),
    ...credentials(settings),
  };
  return new S3Client(config);
}

function credentials(settings: S3Settings): Pick<S3ClientConfig, 'credentials'> {
  const { accessKeyId, secretAccessKey, sessionToken, roleArn, profile } = settings;
  if (accessKeyId !== undefined && secretAccessKey !== undefined) {
    return {
      credentials: { accessKeyId, secretAccessKey, ...(sessionToken !== undefined && { sessionToken }) },
    };
  }
  if (roleArn !== undefined) {
    return {
      credentials: fromTemporaryCredentials({
        params: { RoleArn: roleArn, RoleSessionName: 'tidemark' },
        ...(profile !== undefined && { masterCredentials: fromIni({ profile }) }),
      }),
    };
  }
  return profile === undefined ? {} : { credentials: fromIni({ profile }) };
}
