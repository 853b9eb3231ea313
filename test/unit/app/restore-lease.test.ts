import { beforeEach, expect, test } from 'vitest';
import { withRestoreLeases } from '../../../src/app/restore-lease.ts';
import { FORMAT_VERSION } from '../../../src/archive/manifest.ts';
import { encodeDocument } from '../../../src/catalog/documents.ts';
import { keys } from '../../../src/catalog/keys.ts';
import { readLeases } from '../../../src/catalog/leases.ts';
import type { Repository } from '../../../src/catalog/repository.ts';
import { Failure } from '../../../src/model/failure.ts';
import type { RecoveryPlan } from '../../../src/recovery/plan-recovery.ts';
import { createMemoryStore } from '../../../src/storage/memory.ts';
import { newRepository } from '../../support/stream-fixture.ts';

const signal = new AbortController().signal;
const source = 'main';
const plan: RecoveryPlan = {
  target: { kind: 'snapshot', id: 's' },
  snapshot: { id: 's', instant: '', repository: '' },
};
let repository: Repository;
beforeEach(async () => {
  repository = await newRepository(createMemoryStore());
});
const leases = async () =>
  (await readLeases(repository.store, source, { signal })).map(({ document }) => document);
const mark = (state: 'marked' | 'deleting'): Promise<void> =>
  repository.store.replace(
    keys.pruneMark(source),
    encodeDocument({
      formatVersion: FORMAT_VERSION,
      kind: 'tidemark-prune',
      id: 'x',
      source,
      ttlSeconds: 60,
      renewals: 0,
      state,
      snapshots: ['s'],
      cuts: [],
      leftovers: [],
    }),
    { signal },
  );

test('a restore holds a lease: first on all of the source, then on what it reads; none afterwards', async () => {
  const warnings: string[] = [];
  const options = { source, signal, onWarning: (line: string) => void warnings.push(line) };
  await mark('marked');
  await withRestoreLeases([repository], options, async (needs) => {
    expect((await leases())[0]?.needs).toBe(undefined);
    await needs(plan);
    expect((await leases())[0]?.needs).toEqual({ snapshot: 's' });
  });
  expect(await leases()).toEqual([]);
  expect(warnings).toEqual([]);
});

test('what a prune is removing counts as gone', async () => {
  await mark('deleting');
  const options = { source, signal, onWarning: () => undefined };
  await expect(withRestoreLeases([repository], options, (needs) => needs(plan))).rejects.toMatchObject({
    code: 'recovery.no_point',
  });
  expect(await leases()).toEqual([]);
});

test('a restore that may not write goes on, and says what guards it', async () => {
  const warnings: string[] = [];
  const refuse = (): Promise<never> => Promise.reject(new Failure('repository.permission', 'AccessDenied'));
  const reading = { ...repository, store: { ...repository.store, replace: refuse } };
  const options = { source, signal, onWarning: (line: string) => void warnings.push(line) };
  await withRestoreLeases([reading], options, (needs) => needs(plan));
  expect(warnings).toEqual([expect.stringContaining('AccessDenied')]);
});
