import { Failure } from '../model/failure.ts';
import type { FailureCode } from '../model/failure-codes.ts';
import type { Facts } from '../model/failure.ts';

export type Side = 'source' | 'target';

/** What node-postgres puts on an error of the server (protocol, "Error and Notice Message Fields"). */
interface ServerError extends Error {
  readonly code?: string;
  readonly severity?: string;
  readonly schema?: string;
  readonly table?: string;
  readonly column?: string;
  readonly constraint?: string;
  readonly routine?: string;
}

type Kind =
  | 'authentication'
  | 'no_database'
  | 'permission'
  | 'lost'
  | 'unreachable'
  | 'tls'
  | 'lock_timeout'
  | 'space'
  | 'row_security'
  | 'row_too_large'
  | 'error';

const NETWORK: Readonly<Record<string, Kind>> = {
  ENOTFOUND: 'unreachable',
  EAI_AGAIN: 'unreachable',
  ECONNREFUSED: 'unreachable',
  ETIMEDOUT: 'unreachable',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  ENOENT: 'unreachable',
  EACCES: 'unreachable',
  ECONNRESET: 'lost',
  EPIPE: 'lost',
};

const BY_SQLSTATE: Readonly<Record<string, Kind>> = {
  '28P01': 'authentication',
  '28000': 'authentication',
  '3D000': 'no_database',
  '42501': 'permission',
  '54000': 'row_too_large',
  '55P03': 'lock_timeout',
  '53100': 'space',
  '57P01': 'lost',
  '57P02': 'lost',
  '57P03': 'unreachable',
};

/**
 * A Failure for anything that node-postgres throws, by SQLSTATE or system error code. The server's primary
 * message is kept except for data exceptions and constraint violations, which quote row values (P10);
 * `detail`, `where` and the statement never are.
 */
export function postgresFailure(error: unknown, side: Side, what: string): Failure {
  if (error instanceof Failure) return error;
  const thrown: ServerError = error instanceof Error ? error : new Error(String(error));
  const kind = kindOf(thrown);
  const message = messageOf(thrown, kind);
  return new Failure(codeOf(side, kind), `${what}: ${message}`, { facts: factsOf(thrown) });
}

function kindOf(error: ServerError): Kind {
  const code = error.code ?? '';
  if (/row-level security/.test(error.message) && code === '42501') return 'row_security';
  // elog(), which no server translates; its SQLSTATE stands for any internal error (MemoryContextAlloc).
  if (code === 'XX000' && error.message.startsWith('invalid memory alloc request size'))
    return 'row_too_large';
  const known = BY_SQLSTATE[code] ?? NETWORK[code];
  if (known !== undefined) return known;
  if (code.startsWith('08')) return 'lost';
  if (/^(ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|ERR_OSSL)/.test(code)) return 'tls';
  if (/does not support SSL/.test(error.message)) return 'tls';
  if (/timeout expired|timeout exceeded/.test(error.message) && code === '') return 'unreachable';
  // node-postgres words for a socket that closed under a query
  if (/Connection terminated|connection error and is not queryable|socket hang up/.test(error.message))
    return 'lost';
  return 'error';
}

function codeOf(side: Side, kind: Kind): FailureCode {
  switch (kind) {
    case 'lock_timeout':
      return side === 'source' ? 'source.lock_timeout' : 'target.error';
    case 'space':
      return side === 'target' ? 'target.space' : 'source.error';
    case 'row_security':
      return side === 'source' ? 'source.row_security' : 'target.permission';
    case 'row_too_large':
      return side === 'source' ? 'source.row_too_large' : 'target.error';
    case 'authentication':
    case 'no_database':
    case 'permission':
    case 'lost':
    case 'unreachable':
    case 'tls':
    case 'error':
      return `${side}.${kind}`;
  }
}

/** Classes whose messages quote values: 22 data exception, 23 integrity constraint violation. */
function messageOf(error: ServerError, kind: Kind): string {
  const code = error.code ?? '';
  if (/^2[23]/.test(code)) {
    const where = [error.schema, error.table, error.column ?? error.constraint].filter(Boolean).join('.');
    return `data the server refuses (SQLSTATE ${code})${where === '' ? '' : ` in ${where}`}`;
  }
  const text = error.message === '' ? kind : error.message;
  return text.replaceAll(/\s+/g, ' ').slice(0, 500);
}

function factsOf(error: ServerError): Facts {
  const { code, severity, schema, table, column, constraint } = error;
  const sqlstate = code !== undefined && /^[0-9A-Z]{5}$/.test(code) ? code : undefined;
  const facts = {
    sqlstate,
    system: sqlstate === undefined ? code : undefined,
    severity,
    schema,
    table,
    column,
    constraint,
  };
  return Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined));
}
