// A witness agrees with what it saw, on any major, and with nothing else.
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { generateIdentity } from '../../src/archive/age.ts';
import { digestStatement } from '../../src/witness/digest-statement.ts';
import { absentDatabase, newDatabase, rows, sampleDatabase, sql, testServer } from '../support/postgres.ts';
import { temporaryFolder, tidemark, tidemarkJson } from '../support/tidemark.ts';

let old: ThrowawayServer;
let young: ThrowawayServer;
let source: string;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let common: string[];
beforeAll(async () => {
  [old, young] = await Promise.all([testServer(14), testServer(18)]);
  folder = await temporaryFolder();
  source = await sampleDatabase(old);
  common = ['--url', source, '--repository', folder.path];
  await tidemarkJson(['snapshot', '--witness', ...common]);
}, 120_000);
afterAll(async () => {
  for (const each of [old, young, folder]) await each[Symbol.asyncDispose]();
});

interface Verdicts {
  readonly ok: boolean;
  readonly tables: readonly { schema: string; name: string; verdict: string; rows?: string }[];
}

async function compared(target: string): Promise<Verdicts & { readonly exitCode: number | undefined }> {
  const ran = await tidemark(['witness', '--compare', target, '--json', ...common]);
  return { ...(JSON.parse(ran.stdout) as Verdicts), exitCode: ran.exitCode };
}

test.for([14, 18] as const)(
  'a restore into PostgreSQL %i is what the witness saw; any change of it is named',
  async (major) => {
    const target = absentDatabase(major === 14 ? old : young);
    await tidemarkJson(['restore', ...common, '--target', target, '--create', '--globals']);
    const equal = await compared(target);
    expect(equal).toMatchObject({ ok: true, exitCode: 0 });
    expect(equal.tables.length).toBeGreaterThan(10);
    expect(equal.tables.some(({ rows: count }) => Number(count) > 100)).toBe(true);

    const told = async (change: string): Promise<string[]> => {
      await sql(target, change);
      const { tables, exitCode } = await compared(target);
      expect(exitCode).toBe(9);
      return tables
        .filter(({ verdict }) => verdict !== 'same')
        .map(({ schema, name, verdict }) => `${schema}.${name} ${verdict}`);
    };
    // Two rows change places in one column: the columns' sums stay.
    expect(
      await told(`WITH two AS (SELECT array_agg(id ORDER BY id) AS ids FROM (SELECT id FROM market.payments ORDER BY id LIMIT 2) s)
        UPDATE market.payments p SET amount = o.amount + 0.01 * (p.id = two.ids[1])::int
          FROM two, market.payments o
         WHERE p.id = ANY (two.ids) AND o.id = ANY (two.ids) AND o.id <> p.id`),
    ).toEqual(['market.payments content']);
    expect(
      await told('DELETE FROM market.messages WHERE id IN (SELECT id FROM market.messages LIMIT 1)'),
    ).toContain('market.messages rows');
    expect(await told('DROP TABLE market.payments CASCADE')).toContain('market.payments missing');
  },
);

test('the digests are what anyone computes from the rows’ text', async () => {
  const url = await newDatabase(young);
  await sql(
    url,
    `CREATE TABLE "T" (a int, "b c" text, d bytea, e numeric[]);
     INSERT INTO "T" SELECT g, nullif(repeat('é"(,', g % 4), ''), decode('00ff', 'hex'), ARRAY[g, NULL] FROM generate_series(1, 300) g;
     CREATE TABLE none (); INSERT INTO none DEFAULT VALUES`,
  );
  const columns = ['a', 'b c', 'd', 'e'];
  const [found] = await rows<{ rows: string; lanes: string[] }>(
    url,
    digestStatement({ schema: 'public', name: 'T', columns, condition: undefined }, 'UTF8'),
  );
  const texts = await rows<{ text: string }>(url, 'SELECT ROW(a, "b c", d, e)::text AS text FROM "T"');
  const sums = [0n, 0n, 0n, 0n];
  for (const { text } of texts) {
    const hash = createHash('sha256').update(text, 'utf8').digest();
    for (const lane of [0, 1, 2, 3]) sums[lane] = (sums[lane] ?? 0n) + hash.readBigInt64BE(8 * lane);
  }
  expect(found).toEqual({ rows: '300', lanes: sums.map(String) });
  const none = digestStatement({ schema: 'public', name: 'none', columns: [], condition: undefined }, 'UTF8');
  expect((await rows<{ rows: string }>(url, none))[0]?.rows).toBe('1');
});

test('digests are encrypted where rows are; a witness of nothing is refused, one of some says which', async () => {
  await using sealed = await temporaryFolder();
  const { identity, recipient } = await generateIdentity();
  const config = join(sealed.path, 'tidemark.yaml');
  writeFileSync(join(sealed.path, 'identity.txt'), `${identity}\n`);
  writeFileSync(config, JSON.stringify({ encryption: { recipients: [recipient] } }));
  const at = ['-c', config, '--url', source, '--repository', join(sealed.path, 'r')];
  const key = ['--identity-file', join(sealed.path, 'identity.txt')];
  const hurried = await tidemark(['witness', '--max-time', '1ms', ...at]);
  expect(hurried).toMatchObject({ exitCode: 9, stderr: expect.stringContaining('check.empty') as string });
  await tidemarkJson(['witness', '--table', 'market.users', ...at]);
  const stored = readdirSync(join(sealed.path, 'r/sources/main/witnesses'));
  const digests = stored.find((name) => name.endsWith('.digests.zst.age'));
  expect(stored).toHaveLength(2);
  expect(
    readFileSync(join(sealed.path, 'r/sources/main/witnesses', digests ?? '')).toString('latin1'),
  ).toMatch(/^age-encryption/);
  const locked = await tidemark(['witness', '--compare', source, ...at]);
  expect(locked.stderr).toContain('key.missing');
  const opened = await tidemark(['witness', '--compare', source, ...at, ...key]);
  expect(opened.stdout).toContain('1 of 1 tables are as witness');
});
