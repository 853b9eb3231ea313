import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { DrillDocument, Proof } from '../../../src/archive/drill-document.ts';
import { createSigner, createTrust } from '../../../src/archive/signature.ts';
import { meets, parseExpectation } from '../../../src/drill/expectation.ts';
import { htmlReport } from '../../../src/drill/html-report.ts';
import { pickRandomPoint } from '../../../src/drill/pick-point.ts';
import { readReceipt, writeReceipt } from '../../../src/drill/receipt.ts';
import { verdictOf } from '../../../src/drill/verdict.ts';
import { parseCommitTime } from '../../../src/model/commit-time.ts';

const proof = (kind: Proof['kind'], outcome: Proof['outcome']): Proof => ({
  kind,
  outcome,
  name: kind,
  detail: '',
});

test.for([
  [[proof('restore', 'proved'), proof('witness', 'proved')], 'proved'],
  [[proof('restore', 'proved'), proof('witness', 'skipped')], 'partly'],
  [[proof('restore', 'proved')], 'partly'],
  [[proof('witness', 'proved'), proof('check', 'skipped')], 'partly'],
  [[proof('witness', 'proved'), proof('check', 'disproved')], 'disproved'],
] as const)('what proofs come to: %#', ([proofs, verdict]) => {
  expect(verdictOf({ proofs })).toBe(verdict);
});

test('a drill that compared nothing fails; what can’t be read is disproved, what can’t be done has failed', () => {
  expect(() => verdictOf({ proofs: [] })).toThrow(expect.objectContaining({ code: 'check.empty' }));
  expect(() => verdictOf({ proofs: [proof('restore', 'skipped')] })).toThrow('compared nothing');
  expect(verdictOf({ proofs: [], failure: { code: 'integrity.digest' } })).toBe('disproved');
  expect(verdictOf({ proofs: [], failure: { code: 'target.error' } })).toBe('failed');
});

test('a random point lies in a window, and any microsecond of them may be it', () => {
  const window = fc.tuple(fc.bigInt(0n, 10n ** 15n), fc.bigInt(0n, 10n ** 12n));
  fc.assert(
    fc.property(
      fc.array(window, { minLength: 1, maxLength: 5 }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (given, random) => {
        const windows = given.map(([from, length]) => ({ from, to: from + length }));
        const at = parseCommitTime(pickRandomPoint({ windows, snapshots: [] }, random));
        expect(windows.some(({ from, to }) => at !== undefined && from <= at && at <= to)).toBe(true);
      },
    ),
  );
  const windows = [
    { from: 0n, to: 0n },
    { from: 10n, to: 11n },
  ];
  const all = Array.from({ length: 30 }, (_, index) =>
    pickRandomPoint({ windows, snapshots: [] }, index / 30),
  );
  expect(new Set(all).size).toBe(3);
  expect(pickRandomPoint({ windows: [], snapshots: ['a', 'b'] }, 0.9)).toBe('snapshot:b');
  expect(() => pickRandomPoint({ windows: [], snapshots: [] }, 0)).toThrow('no snapshot');
});

test.for([
  ['5', '> 4', true],
  ['5', '>= 5.0', true],
  ['-0.30', '< -0.2', true],
  ['-0.30', '= -0.3', true],
  ['10', '> 9', true],
  ['99999999999999999999.1', '> 99999999999999999999', true],
  ['done', '= done', true],
  ['done', '<> done', false],
  [null, '= 0', false],
] as const)('%s meets %s: %s', ([found, text, result]) => {
  const expectation = parseExpectation(text);
  if (expectation === undefined) throw new Error('not read');
  expect(meets(found, expectation)).toBe(result);
});

test('what is no comparison is none; text has no order', () => {
  for (const text of ['0', '', '>', '=> 1 ', '==']) expect(parseExpectation(text)?.value ?? '').not.toBe('1');
  expect(parseExpectation('about 5')).toBe(undefined);
  expect(() => meets('many', { operator: '>', value: '1' })).toThrow(
    expect.objectContaining({ code: 'config.invalid' }),
  );
});

const DRILL: DrillDocument = {
  formatVersion: 1,
  kind: 'tidemark-drill',
  id: '20261125T000000Z-abcdef',
  source: 'main',
  repositoryId: 'r',
  createdBy: 'tidemark',
  startedAt: '2026-11-25T00:00:00Z',
  finishedAt: '2026-11-25T00:01:00Z',
  point: { asked: 'latest', target: 'latest' },
  server: { kind: 'local', major: 17 },
  phases: [{ name: 'data', milliseconds: 1000 }],
  proofs: [{ kind: 'check', name: '<script>alert(1)</script>', outcome: 'proved', detail: '"&\'' }],
  objectives: { rtoMilliseconds: 1, rpoMilliseconds: 1 },
  rtoMilliseconds: 2,
  verdict: 'partly',
};

test('the page needs nothing else, and nothing in it is taken for markup', () => {
  const page = htmlReport(DRILL);
  expect(page).not.toMatch(/<script|https?:|src=|@import|url\(/);
  expect(page).toContain('&lt;script&gt;alert(1)&lt;/script&gt;');
  expect(page).toContain('&quot;&amp;&#39;');
  expect(page).toContain('BEYOND the objective');
});

test('a receipt is read where its key is trusted; any changed character is refused', () => {
  const signer = (): ReturnType<typeof createSigner> =>
    createSigner(
      generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
      'key',
    );
  const [mine, other] = [signer(), signer()];
  const text = writeReceipt(DRILL, mine);
  const trust = createTrust([mine.publicKey]);
  expect(readReceipt(text, trust)).toMatchObject({ drill: DRILL.id, verdict: 'partly' });
  expect(text).not.toContain('script');
  const forged = [text.replace('partly', 'proved'), writeReceipt(DRILL, other), text.split('\n')[0] ?? ''];
  for (const one of forged)
    expect(() => readReceipt(one, trust)).toThrow(expect.objectContaining({ code: 'integrity.signature' }));
});
