import type { ConnectionSettings } from './connection-settings.ts';
import { defaultRootCertificate } from './tls.ts';

/**
 * How a libpq program reaches the same database under the same TLS policy: all by its environment, so that
 * nothing shows in a process list (P10, P11). libpq's own default is `prefer`; ours never depends on it.
 */
export function libpqEnvironment(
  settings: ConnectionSettings,
  options: { readonly job: string },
): Record<string, string> {
  const optional: Readonly<Record<string, string | undefined>> = {
    PGPASSWORD: settings.password,
    PGSSLROOTCERT: settings.sslrootcert ?? defaultRootCertificate(),
    PGSSLCERT: settings.sslcert,
    PGSSLKEY: settings.sslkey,
    PGOPTIONS: settings.options,
  };
  return {
    PGHOST: settings.host,
    PGPORT: String(settings.port),
    PGUSER: settings.user,
    PGDATABASE: settings.database,
    PGSSLMODE: settings.sslmode,
    PGAPPNAME: `tidemark ${options.job}`,
    PGCONNECT_TIMEOUT: String(Math.ceil(settings.connectTimeoutMs / 1000)),
    ...Object.fromEntries(
      Object.entries(optional).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
    ),
  };
}
