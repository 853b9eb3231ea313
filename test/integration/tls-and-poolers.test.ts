import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { execa } from 'execa';
import { statSync } from 'node:fs';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { generateIdentity } from '../../src/archive/age.ts';
import { position } from '../support/capturing.ts';
import { absentDatabase, newDatabase, rows, sql, stockDump, testServer } from '../support/postgres.ts';
import { freePort } from '../support/ports.ts';
import { temporaryFolder, tidemark, tidemarkJson } from '../support/tidemark.ts';

let server: ThrowawayServer;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let source: string;

beforeAll(async () => {
  folder = await temporaryFolder();
  server = await testServer(16);
  const data = server.dataDirectory;
  const openssl = (...args: string[]): void =>
    void execFileSync('openssl', args, { cwd: folder.path, stdio: 'pipe' });
  for (const ca of ['ca', 'other'])
    openssl(
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-keyout',
      `${ca}.key`,
      '-out',
      `${ca}.crt`,
      '-subj',
      `/CN=${ca}`,
      '-days',
      '2',
    );
  openssl(
    'req',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-keyout',
    join(data, 'server.key'),
    '-out',
    'server.csr',
    '-subj',
    '/CN=localhost',
  );
  writeFileSync(join(folder.path, 'names'), 'subjectAltName=DNS:localhost');
  openssl(
    'x509',
    '-req',
    '-in',
    'server.csr',
    '-CA',
    'ca.crt',
    '-CAkey',
    'ca.key',
    '-CAcreateserial',
    '-out',
    join(data, 'server.crt'),
    '-days',
    '2',
    '-extfile',
    'names',
  );
  const { uid, gid } = statSync(data);
  for (const name of ['server.key', 'server.crt']) {
    chmodSync(join(data, name), 0o600);
    chownSync(join(data, name), uid, gid);
  }
  await sql(server.url(), "ALTER SYSTEM SET ssl = 'on'");
  await sql(server.url(), 'SELECT pg_reload_conf()');
  source = await newDatabase(server);
  await sql(source, 'CREATE TABLE t AS SELECT 1 AS id');
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const take = async (url: string) => {
  await using repository = await temporaryFolder();
  return tidemark(['snapshot', '--url', url, '--repository', repository.path]);
};
const by = (host: string, parameters: string): string => `${source.replace('127.0.0.1', host)}?${parameters}`;

test('P11: TLS with libpq’s meaning of sslmode, for pg and for pg_dump alike', async () => {
  const ca = join(folder.path, 'ca.crt');
  const other = join(folder.path, 'other.crt');
  const cases: [string, string, number][] = [
    ['localhost', 'sslmode=require', 0],
    ['localhost', `sslmode=verify-full&sslrootcert=${ca}`, 0],
    ['127.0.0.1', `sslmode=verify-ca&sslrootcert=${ca}`, 0],
    ['127.0.0.1', `sslmode=verify-full&sslrootcert=${ca}`, 6],
    ['localhost', `sslmode=verify-full&sslrootcert=${other}`, 6],
    ['localhost', `sslmode=require&sslrootcert=${other}`, 6],
    ['localhost', 'sslmode=verify-full&sslrootcert=system', 6],
    ['localhost', 'sslmode=verify-full', 2],
    ['localhost', 'sslmode=verify-full&sslrootcert=/not/there', 2],
  ];
  for (const [host, parameters, expected] of cases) {
    const { exitCode, stderr } = await take(by(host, parameters));
    expect({
      host,
      parameters,
      exitCode,
      tls: exitCode === 6 ? stderr.includes('source.tls') : true,
    }).toEqual({ host, parameters, exitCode: expected, tls: true });
  }
});

test('I 53: a server that refuses TLS gets no password', async () => {
  const received: Buffer[] = [];
  const plain = createServer((socket) => {
    socket.on('data', (bytes) => {
      received.push(bytes);
      socket.write('N');
    });
    socket.on('error', () => undefined);
  }).listen(0, '127.0.0.1');
  await once(plain, 'listening');
  const { port } = plain.address() as AddressInfo;
  const { stderr } = await take(`postgresql://user:hunter2@127.0.0.1:${port}/d?sslmode=require`);
  expect(stderr).toContain('source.tls');
  expect(Buffer.concat(received)).toHaveLength(8);
  plain.close();
});

test('a transaction pooler is refused; a session pooler serves', async () => {
  const port = await freePort();
  const { host, port: upstream, pathname } = { ...urlParts(source) };
  const config = (mode: string): string =>
    `[databases]\n* = host=${host} port=${upstream} user=postgres password=${server.password}\n[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port=${port}\nauth_type=any\npool_mode=${mode}\nunix_socket_dir=\nignore_startup_parameters=extra_float_digits\n`;
  for (const [mode, expected] of [
    ['transaction', 6],
    ['session', 0],
  ] as const) {
    const file = join(folder.path, `${mode}.ini`);
    writeFileSync(file, config(mode));
    chmodSync(folder.path, 0o755);
    const bouncer = execa('pgbouncer', ['-q', file], { reject: false, uid: 65_534, stdin: 'ignore' });
    await Promise.race([
      listening(port),
      bouncer.then(({ stderr }) => Promise.reject(new Error(`pgbouncer ended: ${stderr}`))),
    ]);
    const { exitCode, stderr } = await take(
      `postgresql://postgres@127.0.0.1:${port}${pathname}?sslmode=disable`,
    );
    // Neither kind passes replication on, and none may keep our advisory lock.
    const through = [
      '--repository',
      folder.path,
      '--url',
      `postgresql://postgres@127.0.0.1:${port}${pathname}?sslmode=disable`,
    ];
    const captures = [
      await tidemark(['init', '--capture', ...through]),
      await tidemark(['capture', ...through]),
    ];
    bouncer.kill();
    await bouncer;
    for (const capture of captures)
      expect({ mode, exitCode: capture.exitCode, stderr: capture.stderr }).toEqual({
        mode,
        exitCode: 6,
        stderr: expect.stringMatching(/source\.pooler[^]*direct URL/) as string,
      });
    expect(await rows(source, `SELECT 1 FROM pg_locks WHERE locktype = 'advisory'`)).toEqual([]);
    expect({ mode, exitCode, pooler: stderr.includes('source.pooler') }).toEqual({
      mode,
      exitCode: expected,
      pooler: mode === 'transaction',
    });
  }
});

test('P11: both connections of capture are verified; what it stores for a recipient comes back', async () => {
  await using at = await temporaryFolder();
  const keys = await generateIdentity();
  writeFileSync(join(at.path, 'identity.txt'), `${keys.identity}\n`, { mode: 0o600 });
  writeFileSync(
    join(at.path, 'tidemark.yaml'),
    `sources: { main: { url: "\${DATABASE_URL}" } }
repositories: { local: ./backups }
encryption: { recipients: [ ${keys.recipient} ], identityFile: identity.txt }`,
  );
  const verified = (ca: string): string =>
    by('localhost', `sslmode=verify-full&sslrootcert=${join(folder.path, ca)}`);
  const options = { cwd: at.path, env: { DATABASE_URL: verified('ca.crt') } };
  const caughtUp = async (): Promise<void> => {
    const { exitCode, stderr } = await tidemark(
      ['capture', '--flush', '200ms', '--until', await position(source)],
      options,
    );
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
  };
  await tidemarkJson(['init', '--capture'], options);
  await sql(source, 'INSERT INTO t VALUES (2)');
  await caughtUp();
  await tidemarkJson(['snapshot'], options);
  await sql(source, 'INSERT INTO t VALUES (3)');
  const to = `lsn:${await position(source)}`;
  const truth = await stockDump(source, 16, ['--table=t']);
  await sql(source, 'INSERT INTO t VALUES (4)');
  await caughtUp();
  const target = absentDatabase(server);
  await tidemarkJson(['restore', '--to', to, '--target', target, '--create'], options);
  expect(await stockDump(target, 16, ['--table=t'])).toBe(truth);
  const foreign = { cwd: at.path, env: { DATABASE_URL: verified('other.crt') } };
  const { exitCode, stderr } = await tidemark(['capture'], foreign);
  expect({ exitCode, stderr }).toEqual({
    exitCode: 6,
    stderr: expect.stringContaining('source.tls') as unknown,
  });
  await tidemarkJson(['init', '--remove'], options);
});

function urlParts(url: string) {
  const parsed = new URL(url);
  return { host: parsed.hostname, port: parsed.port, pathname: parsed.pathname };
}

async function listening(port: number): Promise<void> {
  const { connect } = await import('node:net');
  for (;;) {
    const socket = connect(port, '127.0.0.1');
    const opened = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
    });
    socket.destroy();
    if (opened) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
