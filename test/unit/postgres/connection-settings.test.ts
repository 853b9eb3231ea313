import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseConnectionUrl } from '../../../src/postgres/connection-settings.ts';
import { postgresFailure } from '../../../src/postgres/failures.ts';
import { chooseTools } from '../../../src/postgres/tools.ts';

test('any password comes back from its percent-encoding, and is never displayed', () => {
  fc.assert(
    fc.property(fc.string({ minLength: 1, unit: 'grapheme' }), (password) => {
      const settings = parseConnectionUrl(
        `postgresql://user:${encodeURIComponent(password)}@db.example.com:6000/app?sslmode=verify-full`,
        {},
      );
      expect(settings).toMatchObject({
        password,
        host: 'db.example.com',
        port: 6000,
        database: 'app',
        user: 'user',
        sslmode: 'verify-full',
      });
      expect(settings.display).toBe('postgresql://user@db.example.com:6000/app');
    }),
  );
});

test.for(['p@ss', 'a:b', 'a/b', 'a?b', 'a#b', '100%', '@:/?#', 'x?y=1@z', 'ends@'])(
  'the raw password %j is understood',
  (password) => {
    expect(parseConnectionUrl(`postgres://u:${password}@h.example:5432/d`, {})).toMatchObject({
      password,
      host: 'h.example',
      port: 5432,
      database: 'd',
    });
  },
);

test.for([
  ['postgresql://h.example/d', {}, 'require'],
  ['postgresql://h.example/d?sslmode=prefer', {}, 'require'],
  ['postgresql://h.example/d?sslmode=disable', {}, 'disable'],
  ['postgresql://h.example/d', { PGSSLMODE: 'verify-full' }, 'verify-full'],
  ['postgresql://localhost/d', {}, 'prefer'],
  ['postgresql://127.0.0.1/d?sslmode=require', {}, 'require'],
  ['postgresql:///d?host=/var/run/postgresql', {}, 'prefer'],
  ['postgresql://[::1]:5433/d', {}, 'prefer'],
  ['postgresql://[2001:db8::1]/d', {}, 'require'],
  ['postgresql://h.example/d?sslrootcert=system', {}, 'verify-full'],
] as const)('P11: %s is %s', ([url, environment, sslmode]) => {
  expect(parseConnectionUrl(url, environment).sslmode).toBe(sslmode);
});

test.for([
  'mysql://x',
  'postgresql://h:99999/d',
  'postgresql://h/d?nonsense=s3cret',
  'postgresql://a,b/d',
  'postgresql://h/d?sslmode=never',
  'x',
])('%s is refused without quoting a value', (url) => {
  expect(() => parseConnectionUrl(url, {})).toThrow(
    expect.objectContaining({ code: 'config.invalid', message: expect.not.stringContaining('s3cret') }),
  );
});

test('what the URL leaves out comes from libpq’s variables', () => {
  expect(
    parseConnectionUrl('postgresql://h.example', {
      PGUSER: 'u',
      PGPASSWORD: 'p',
      PGDATABASE: 'd',
      PGPORT: '7',
      PGCONNECT_TIMEOUT: '3',
    }),
  ).toMatchObject({ user: 'u', password: 'p', database: 'd', port: 7, connectTimeoutMs: 3000 });
});

test('P10: errors of the server lose row values, details and statements', () => {
  const error = Object.assign(new Error('invalid input syntax for type integer: "a secret"'), {
    code: '22P02',
    detail: 'Key (a)=(secret)',
    where: 'COPY t, line 1: "secret"',
    table: 't',
  });
  const failure = postgresFailure(error, 'target', 'COPY');
  expect(JSON.stringify([failure.message, failure.facts])).not.toContain('secret');
  expect(failure).toMatchObject({ code: 'target.error', facts: { sqlstate: '22P02', table: 't' } });
});

test('client tools: the same major, else the next newer; never an older one', () => {
  const of = (major: number) => ({
    directory: `/x/${major}`,
    major,
    version: `${major}.1`,
    pgDump: '',
    pgDumpall: '',
    pgRestore: '',
    psql: '',
  });
  const tools = [15, 17, 18].map((major) => of(major));
  expect([14, 15, 16, 17, 18].map((server) => chooseTools(tools, server).major)).toEqual([
    15, 15, 17, 17, 18,
  ]);
  expect(() => chooseTools([of(15)], 18)).toThrow(
    expect.objectContaining({
      code: 'tool.too_old',
      remedy: expect.stringContaining('postgresql-client-18'),
    }),
  );
  expect(() => chooseTools([], 15)).toThrow(expect.objectContaining({ code: 'tool.missing' }));
});
