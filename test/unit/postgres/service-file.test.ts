import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseConnectionService } from '../../../src/postgres/connection-settings.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tidemark-unit-'));
  writeFileSync(
    join(folder, '.pg_service.conf'),
    '# ours\n[prod]\nhost=db.example\nport=6543\ndbname=shop\nuser=app\npassword=s3cret=and more\nsslmode=verify-full\nsslrootcert=system\nport=1\n\n[bad]\nhost = spaced\n[odd]\nhost=h\ncolour=blue\n',
  );
  writeFileSync(join(folder, 'pg_service.conf'), '[system]\nhost=system.example\n[prod]\nhost=never\n');
});
afterAll(() => rmSync(folder, { recursive: true }));

test('a service’s parameters are the connection’s; what it leaves out comes from libpq’s variables', () => {
  const settings = parseConnectionService('prod', { HOME: folder, PGPORT: '7', PGCONNECT_TIMEOUT: '3' });
  expect(settings).toMatchObject({
    host: 'db.example',
    port: 6543,
    database: 'shop',
    user: 'app',
    password: 's3cret=and more',
    sslmode: 'verify-full',
    connectTimeoutMs: 3000,
  });
  expect(settings.display).not.toContain('s3cret');
});

test('the user’s file comes before the system’s; PGSERVICEFILE stands for the user’s', () => {
  const environment = { HOME: folder, PGSYSCONFDIR: folder };
  expect(parseConnectionService('system', environment).host).toBe('system.example');
  expect(parseConnectionService('prod', environment).host).toBe('db.example');
  const other = { PGSERVICEFILE: join(folder, 'pg_service.conf') };
  expect(parseConnectionService('prod', other).host).toBe('never');
});

test.each([
  ['none', 'config.missing'],
  ['bad', 'config.invalid'],
  ['odd', 'config.invalid'],
])('service %s is refused with %s', (name, code) => {
  expect(() => parseConnectionService(name, { HOME: folder })).toThrow(expect.objectContaining({ code }));
});
