import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import type { ConnectionOptions } from 'node:tls';
import { Failure } from '../model/failure.ts';
import type { ConnectionSettings } from './connection-settings.ts';

/**
 * node's TLS options with libpq's meaning of `sslmode` (libpq, "SSL Support", table 34.1), which differs from
 * node-postgres' own: `require` encrypts and verifies nothing unless a root certificate is there, then it is
 * `verify-ca`; `verify-ca` looks at the chain, `verify-full` at the host name too. False: no TLS.
 */
export function tlsOptions(settings: ConnectionSettings): ConnectionOptions | false {
  if (settings.sslmode === 'disable') return false;
  const root = rootCertificate(settings);
  const client = {
    ...(settings.sslcert !== undefined && { cert: read(settings.sslcert, 'sslcert') }),
    ...(settings.sslkey !== undefined && { key: read(settings.sslkey, 'sslkey') }),
  };
  const verify = settings.sslmode === 'verify-full' || settings.sslmode === 'verify-ca' || root !== undefined;
  if (!verify || settings.sslmode === 'prefer') return { ...client, rejectUnauthorized: false };
  if (root === undefined) {
    throw new Failure('config.invalid', `sslmode=${settings.sslmode} needs a root certificate`, {
      remedy: 'name the provider’s CA file with sslrootcert=FILE, or use sslrootcert=system for a public one',
    });
  }
  return {
    ...client,
    ca: root,
    rejectUnauthorized: true,
    ...(settings.sslmode !== 'verify-full' && { checkServerIdentity: () => undefined }),
    ...(!/^[\d.]+$|:/.test(settings.host) && { servername: settings.host }),
  };
}

/** The default place is libpq's: ~/.postgresql/root.crt. */
export function defaultRootCertificate(): string | undefined {
  const path = join(homedir(), '.postgresql', 'root.crt');
  return existsSync(path) ? path : undefined;
}

function rootCertificate(settings: ConnectionSettings): string[] | undefined {
  if (settings.sslrootcert === 'system') return [...rootCertificates];
  const path = settings.sslrootcert ?? defaultRootCertificate();
  return path === undefined ? undefined : [read(path, 'sslrootcert')];
}

function read(path: string, parameter: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new Failure('config.invalid', `${parameter}: ${path} can't be read`, {
      facts: { file: path },
      cause,
    });
  }
}
