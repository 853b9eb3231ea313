import { S3Client } from '@aws-sdk/client-s3';
import type { S3ClientConfig } from '@aws-sdk/client-s3';
import { fromIni, fromTemporaryCredentials } from '@aws-sdk/credential-providers';
import { Failure } from '../model/failure.ts';
import type { Meter, RequestKind } from './meter.ts';
import { errorName, s3Failure } from './s3-failures.ts';
import { outageRetries } from './s3-retries.ts';

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
  /** Retention of every new object, for a bucket with object lock: nobody can remove it before. Not for leases. */
  readonly objectLock?:
    | { readonly mode: 'GOVERNANCE' | 'COMPLIANCE'; readonly retainDays: number }
    | undefined;
  /** How long an outage is waited out, once the store has answered. Two minutes when absent. */
  readonly patienceMs?: number | undefined;
  /** A socket without a byte for this long is dead. A minute when absent. */
  readonly silenceMs?: number | undefined;
  /** `gcs`: Google's XML API, which refuses the SDK's checksums and ignores conditions. */
  readonly dialect: 'aws' | 'gcs';
}

const CONNECT_TIMEOUT_MS = 10_000;
const SILENCE_MS = 60_000;
/** Long enough for a router or a gateway to restart, short enough for locks that a snapshot holds meanwhile. */
const PATIENCE_MS = 120_000;

/** Credentials: keys given here, else a role, else a profile, else the SDK's own chain. */
export function createS3Client(settings: S3Settings, meter: Meter): S3Client {
  const checksums = settings.dialect === 'gcs' ? 'WHEN_REQUIRED' : 'WHEN_SUPPORTED';
  const config: S3ClientConfig = {
    region: settings.region ?? (settings.dialect === 'gcs' ? 'auto' : 'us-east-1'),
    retryStrategy: outageRetries(settings.patienceMs ?? PATIENCE_MS),
    forcePathStyle: settings.pathStyle ?? settings.endpoint !== undefined,
    requestChecksumCalculation: checksums,
    // Ours are compared instead: a range has no checksum of the store's.
    responseChecksumValidation: 'WHEN_REQUIRED',
    // The socket timeout also ends a body that stalls after its headers, and a request that is never answered.
    requestHandler: {
      connectionTimeout: CONNECT_TIMEOUT_MS,
      socketTimeout: settings.silenceMs ?? SILENCE_MS,
    },
    ...(settings.endpoint !== undefined && { endpoint: settings.endpoint }),
    ...credentials(settings),
  };
  const client = new S3Client(config);
  countRequests(client, meter);
  return client;
}

/** Every attempt is counted as it leaves, below the SDK's retries: stores bill for those too. */
function countRequests(client: S3Client, meter: Meter): void {
  client.middlewareStack.add(
    (next, context) => {
      let attempts = 0;
      return (args) => {
        attempts += 1;
        if (attempts > 1) meter.retried();
        meter.requested(requestKind(context.commandName ?? ''));
        return next(args);
      };
    },
    { step: 'finalizeRequest', priority: 'low', name: 'tidemarkMeter' },
  );
}

/** Starting, feeding and ending an upload are puts, as S3's price lists have it. */
function requestKind(command: string): RequestKind {
  if (command.startsWith('Get')) return 'get';
  if (command.startsWith('Head')) return 'stat';
  if (command.startsWith('List')) return 'list';
  return /^(?:Delete|Abort)/.test(command) ? 'delete' : 'put';
}

function credentials(settings: S3Settings): Pick<S3ClientConfig, 'credentials'> {
  const { accessKeyId, secretAccessKey, sessionToken, roleArn, profile } = settings;
  if (accessKeyId !== undefined && secretAccessKey !== undefined) {
    return {
      credentials: { accessKeyId, secretAccessKey, ...(sessionToken !== undefined && { sessionToken }) },
    };
  }
  if (roleArn !== undefined) {
    const assumed = fromTemporaryCredentials({
      params: { RoleArn: roleArn, RoleSessionName: 'tidemark' },
      ...(profile !== undefined && { masterCredentials: fromIni({ profile }) }),
      clientConfig: stsConfig(settings),
    });
    return {
      credentials: (identity) =>
        assumed(identity).catch((error: unknown) => {
          throw roleFailure(error, roleArn);
        }),
    };
  }
  return profile === undefined ? {} : { credentials: fromIni({ profile }) };
}

/** Other stores than Amazon's give roles themselves; a key of theirs is never shown to Amazon. */
function stsConfig({ endpoint, region }: S3Settings): { region?: string; endpoint?: string } {
  const host = endpoint === undefined ? undefined : URL.parse(endpoint)?.hostname;
  const isAmazon = host === undefined || /\.amazonaws\.com(?:\.cn)?$/.test(host);
  return {
    ...(region !== undefined && { region }),
    ...(!isAmazon && endpoint !== undefined && { endpoint, region: region ?? 'us-east-1' }),
  };
}

/** A store may say 404 of a role that it does not know: that must not pass for an object that is not there. */
function roleFailure(error: unknown, roleArn: string): Failure {
  const found = s3Failure(error, { key: roleArn, location: 'role' });
  if (found.code === 'repository.unreachable' || found.code === 'repository.throttled') return found;
  return new Failure('repository.permission', `role ${roleArn} was not assumed: ${errorName(error)}`, {
    facts: { role: roleArn },
    cause: error,
  });
}
