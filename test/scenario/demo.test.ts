import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { start, tidemark } from '../support/tidemark.ts';
import { until } from '../support/until.ts';

test('the demo ruins data, finds the transaction, gets the moment before it back, and leaves nothing behind', async () => {
  // A folder of its own: others on this machine may start servers meanwhile.
  const TMPDIR = mkdtempSync(join(tmpdir(), 'tidemark-test-'));
  chmodSync(TMPDIR, 0o755);
  const made = new Set<string>();
  const look = setInterval(() => {
    for (const name of readdirSync(TMPDIR)) made.add(name.replace(/-\w+$/, ''));
  }, 20);
  const { exitCode, stdout, stderr } = await tidemark(['demo', '--scale', '0.002'], { env: { TMPDIR } });
  clearInterval(look);
  expect(exitCode).toBe(0);
  expect(stderr).toMatch(
    /the log finds it among 3 transactions that updated payments: xid \d+ updated [\d,]+ rows/,
  );
  expect(stderr).toMatch(/--exclusive\): 25 tables, [\d,]+ rows of the snapshot, 2[5-9] changes after it/);
  expect(stderr).toContain('25 of 25 tables are identical');
  expect(stderr).toMatch(/market\.payments, [\d,]+ rows and 2 changes/);
  expect(stdout).toContain('Your own database');
  expect([...made]).toEqual(expect.arrayContaining(['tidemark-demo', 'tidemark-server']));
  expect(readdirSync(TMPDIR)).toEqual([]);
  rmSync(TMPDIR, { recursive: true });
});

test('--keep leaves source and capture running until ^C', async () => {
  const TMPDIR = mkdtempSync(join(tmpdir(), 'tidemark-test-'));
  chmodSync(TMPDIR, 0o755);
  const demo = start(['demo', '--keep', '--scale', '0.002'], { env: { TMPDIR } });
  let said = '';
  demo.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()));
  await until(() => said.includes('tidemark log --repository'));
  const [, source = ''] = /broken source +(\S+)/.exec(said) ?? [];
  const [, repository = ''] = /repository +(\S+)/.exec(said) ?? [];
  const status = await tidemark(['status', '--url', source, '--repository', repository]);
  expect(status).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('read by pid') as string });
  demo.kill('SIGINT');
  await demo;
  expect(readdirSync(TMPDIR)).toEqual([]);
  rmSync(TMPDIR, { recursive: true });
});
