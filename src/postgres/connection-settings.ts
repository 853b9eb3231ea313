import { Failure } from '../model/failure.ts';
import { passwordFromFile } from './password-file.ts';
import { readService } from './service-file.ts';

type SslMode = 'disable' | 'prefer' | 'require' | 'verify-ca' | 'verify-full';

/** How to reach one database. `display` is for people and logs; `password` never leaves this object otherwise. */
export interface ConnectionSettings {
  /** A host name or address, or the directory of a Unix socket. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password?: string;
  readonly database: string;
  readonly sslmode: SslMode;
  /** A file, or `system` for the roots that this program trusts anyway. */
  readonly sslrootcert?: string;
  readonly sslcert?: string;
  readonly sslkey?: string;
  readonly options?: string;
  readonly connectTimeoutMs: number;
  /** `tcp_user_timeout`: how long a server may say nothing to a question that takes no time. */
  readonly silenceMs: number;
  /** `postgresql://user@host:port/database` */
  readonly display: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** libpq's parameter words that are understood, and the variable that stands in for each (libpq, "Environment Variables"). */
const PARAMETERS: Readonly<Record<string, string | undefined>> = {
  host: 'PGHOST',
  hostaddr: 'PGHOSTADDR',
  port: 'PGPORT',
  user: 'PGUSER',
  password: 'PGPASSWORD',
  dbname: 'PGDATABASE',
  sslmode: 'PGSSLMODE',
  sslrootcert: 'PGSSLROOTCERT',
  sslcert: 'PGSSLCERT',
  sslkey: 'PGSSLKEY',
  options: 'PGOPTIONS',
  connect_timeout: 'PGCONNECT_TIMEOUT',
  tcp_user_timeout: undefined,
  passfile: 'PGPASSFILE',
  application_name: undefined,
  target_session_attrs: undefined,
  channel_binding: undefined,
  gssencmode: undefined,
  pgbouncer: undefined,
};

const DEFAULT_CONNECT_TIMEOUT_S = 15;
const DEFAULT_SILENCE_MS = 60_000;

/**
 * Reads a connection URL as libpq does, but forgives a password with raw `@ : / ? #` in it: the last `@` that
 * leaves a plausible host parts it off. What the URL leaves out comes from libpq's environment variables and
 * the password file. Fails with `config.invalid`; no message holds a value of the URL.
 *
 * TLS (P11): anything but loopback and a Unix socket needs at least `require`; plaintext only where
 * `sslmode=disable` is written out.
 */
export function parseConnectionUrl(text: string, environment: Environment): ConnectionSettings {
  return settingsOf(parseUrl(text), environment);
}

/** The same for a service of libpq's connection service file; its parameters stand for the URL's. */
export function parseConnectionService(name: string, environment: Environment): ConnectionSettings {
  const given = readService(name, environment);
  for (const parameter of given.keys()) {
    if (!(parameter in PARAMETERS))
      throw invalid(`parameter ${JSON.stringify(parameter)} of service ${name} is not known`, 'remove it');
  }
  return settingsOf(given, environment);
}

function settingsOf(given: ReadonlyMap<string, string>, environment: Environment): ConnectionSettings {
  const value = (name: string): string | undefined => {
    const variable = PARAMETERS[name];
    return (
      nonEmpty(given.get(name)) ?? (variable === undefined ? undefined : nonEmpty(environment[variable]))
    );
  };
  const host = value('host') ?? 'localhost';
  if (host.includes(',')) throw invalid('a URL with several hosts', 'name the primary server’s host alone');
  const user = value('user') ?? environment['USER'] ?? 'postgres';
  const database = value('dbname') ?? user;
  const port = toPort(value('port'));
  const password =
    value('password') ??
    passwordFromFile(
      { host, port, database, user },
      { passfile: value('passfile'), home: environment['HOME'] },
    );
  const optional = Object.fromEntries(
    (['sslrootcert', 'sslcert', 'sslkey', 'options'] as const).flatMap((name) => {
      const found = value(name);
      return found === undefined ? [] : [[name, found]];
    }),
  );
  return {
    host,
    port,
    user,
    database,
    ...(password !== undefined && { password }),
    ...optional,
    sslmode: effectiveSslMode(value('sslmode'), host, optional['sslrootcert']),
    connectTimeoutMs: 1000 * toSeconds(value('connect_timeout')),
    silenceMs: toSilence(value('tcp_user_timeout')),
    display: displayOf({ user, host, port, database }),
  };
}

/** The same server, another database. */
export function withDatabase(settings: ConnectionSettings, database: string): ConnectionSettings {
  return { ...settings, database, display: displayOf({ ...settings, database }) };
}

function displayOf(at: Pick<ConnectionSettings, 'user' | 'host' | 'port' | 'database'>): string {
  const host = at.host.includes(':') ? `[${at.host}]` : at.host;
  return `postgresql://${encodeURIComponent(at.user)}@${host}:${at.port}/${encodeURIComponent(at.database)}`;
}

/** True for what never leaves this machine: TLS protects nothing there. */
export function isLocal(host: string): boolean {
  return host.startsWith('/') || host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

function parseUrl(text: string): Map<string, string> {
  const rest = /^postgres(?:ql)?:\/\/(.*)$/s.exec(text.trim())?.[1];
  if (rest === undefined) {
    throw invalid('not a connection URL', 'write postgresql://user:password@host:5432/database');
  }
  const question = parametersStart(rest);
  const front = question === -1 ? rest : rest.slice(0, question);
  const at = front.lastIndexOf('@');
  const [userinfo, address] = at === -1 ? ['', front] : [front.slice(0, at), front.slice(at + 1)];
  const match = /^(\[[0-9A-Fa-f:.%]+\]|[^:/?#[\]]*)(?::(\d*))?(?:\/(.*))?$/s.exec(address);
  if (match === null)
    throw invalid('a URL whose host and port can’t be read', 'percent-encode odd characters');
  const colon = userinfo.indexOf(':');
  const parts: [string, string | undefined][] = [
    ['user', colon === -1 ? userinfo : userinfo.slice(0, colon)],
    ['password', colon === -1 ? undefined : userinfo.slice(colon + 1)],
    ['host', match[1]?.replaceAll(/^\[|\]$/g, '')],
    ['port', match[2]],
    ['dbname', match[3]],
  ];
  const given = new Map<string, string>();
  for (const [name, value] of parts) if (value !== undefined && value !== '') given.set(name, decode(value));
  for (const pair of question === -1 ? [] : rest.slice(question + 1).split('&')) {
    const [name = '', value = ''] = splitOnce(pair, '=');
    if (name === '') continue;
    if (!(name in PARAMETERS))
      throw invalid(`URL parameter ${JSON.stringify(name)} is not known`, 'remove it from the URL');
    given.set(name, decode(value));
  }
  return given;
}

/**
 * Where `?name=value&…` begins. Behind the last `@` any question mark does; before it only one that a known
 * parameter follows, since a password may hold one too.
 */
function parametersStart(rest: string): number {
  const behind = rest.indexOf('?', rest.lastIndexOf('@') + 1);
  if (behind !== -1) return behind;
  const candidates = [...rest.matchAll(/\?([a-z_]+)=/g)];
  return candidates.find((match) => (match[1] ?? '') in PARAMETERS)?.index ?? -1;
}

/** Percent-decoding where it is valid; a raw `%` in a password stays as it is. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text.replaceAll(/(?:%[0-9A-Fa-f]{2})+/g, (run) => {
      try {
        return decodeURIComponent(run);
      } catch {
        return run;
      }
    });
  }
}

function effectiveSslMode(written: string | undefined, host: string, rootCert: string | undefined): SslMode {
  const local = isLocal(host);
  if (rootCert === 'system' && written !== undefined && written !== 'verify-full') {
    throw invalid(
      `sslrootcert=system with sslmode=${written}`,
      'use sslmode=verify-full with it, as libpq demands',
    );
  }
  switch (written) {
    case undefined:
      return rootCert === 'system' ? 'verify-full' : local ? 'prefer' : 'require';
    case 'allow':
    case 'prefer':
      return local ? 'prefer' : 'require';
    case 'disable':
    case 'require':
    case 'verify-ca':
    case 'verify-full':
      return written;
    default:
      throw invalid('an unknown sslmode', 'use disable, require, verify-ca or verify-full');
  }
}

function toPort(text: string | undefined): number {
  const port = text === undefined ? 5432 : Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    throw invalid('a port that is no port', 'use 1 to 65535');
  return port;
}

function toSeconds(text: string | undefined): number {
  const seconds = text === undefined ? DEFAULT_CONNECT_TIMEOUT_S : Number(text);
  if (!Number.isFinite(seconds) || seconds < 0)
    throw invalid('a connect_timeout that is no number', 'give seconds');
  return seconds === 0 ? DEFAULT_CONNECT_TIMEOUT_S : Math.max(2, seconds);
}

/** Milliseconds, as in libpq; 0 means its default there too. */
function toSilence(text: string | undefined): number {
  const milliseconds = text === undefined ? 0 : Number(text);
  if (!Number.isInteger(milliseconds) || milliseconds < 0)
    throw invalid('a tcp_user_timeout that is no number', 'give milliseconds');
  return milliseconds === 0 ? DEFAULT_SILENCE_MS : milliseconds;
}

function splitOnce(text: string, separator: string): string[] {
  const at = text.indexOf(separator);
  return at === -1 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === '' ? undefined : text;
}

function invalid(what: string, remedy: string): Failure {
  return new Failure('config.invalid', `connection: ${what}`, { remedy });
}
