import { Failure } from '../model/failure.ts';
import type { FailureCode } from '../model/failure-codes.ts';

/** What the SDK puts on its errors. */
interface SdkError extends Error {
  readonly code?: string;
  readonly Code?: string;
  readonly $metadata?: { readonly httpStatusCode?: number };
}

const BY_NAME: Readonly<Record<string, FailureCode>> = {
  NoSuchBucket: 'repository.not_found',
  NoSuchKey: 'repository.object_missing',
  NotFound: 'repository.object_missing',
  InvalidAccessKeyId: 'repository.permission',
  SignatureDoesNotMatch: 'repository.permission',
  AccessDenied: 'repository.permission',
  ExpiredToken: 'repository.permission',
  CredentialsProviderError: 'repository.permission',
  QuotaExceeded: 'repository.full',
  SlowDown: 'repository.throttled',
  TooManyRequests: 'repository.throttled',
  TimeoutError: 'repository.unreachable',
  // What is asked for was stored once: the object has become shorter.
  InvalidRange: 'integrity.truncated',
};

const UNREACHABLE =
  /^(ECONNREFUSED|ECONNRESET|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EPIPE)$/;

export function httpStatus(error: unknown): number | undefined {
  return error instanceof Error ? (error as SdkError).$metadata?.httpStatusCode : undefined;
}

export function errorName(error: unknown): string {
  return error instanceof Error ? ((error as SdkError).Code ?? error.name) : '';
}

/** A Failure for anything that the SDK throws. Its messages name keys and buckets, never credentials. */
export function s3Failure(
  error: unknown,
  what: { readonly key: string; readonly location: string },
): Failure {
  if (error instanceof Failure) return error;
  const thrown: SdkError = error instanceof Error ? error : new Error(String(error));
  const status = httpStatus(thrown);
  const code = codeOf(thrown, status);
  const name = errorName(thrown);
  // A signature error's message repeats what was signed; its name says enough.
  const words =
    code === 'repository.permission' ? name : `${name}${thrown.message === '' ? '' : `: ${thrown.message}`}`;
  return new Failure(
    code,
    `${what.location}, ${what.key}: ${words.slice(0, 300)}${status === undefined ? '' : ` (HTTP ${status})`}`,
    {
      facts: { object: what.key, location: what.location, httpStatus: status, error: name },
      cause: error,
    },
  );
}

function codeOf(error: SdkError, status: number | undefined): FailureCode {
  const named = BY_NAME[errorName(error)] ?? BY_NAME[error.name];
  if (named !== undefined) return named;
  if (UNREACHABLE.test(error.code ?? '')) return 'repository.unreachable';
  if (status === 401 || status === 403) return 'repository.permission';
  if (status === 404) return 'repository.object_missing';
  if (status === 429 || status === 503) return 'repository.throttled';
  if (status === 507) return 'repository.full';
  return 'repository.error';
}
