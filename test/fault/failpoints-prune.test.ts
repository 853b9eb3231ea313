// kill -9 and ^C at every step of a prune: run again, it ends as if nothing had been. No server is needed.
import { cp, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createFolderStore } from '../../src/storage/folder.ts';
import { interruptedAt, killedAt } from '../support/failpoints.ts';
import type { Of } from '../support/failpoints.ts';
import { hourlySnapshot, hourlyStream } from '../support/retention-fixture.ts';
import { newRepository } from '../support/stream-fixture.ts';
import { temporaryFolder, tidemark, tidemarkJson } from '../support/tidemark.ts';

/** Which time it comes by, and whether the plan then still has all that it had. */
const POINTS: Readonly<Record<Of<'prune'>, { readonly time: number; readonly untouched: boolean }>> = {
  'prune.marked': { time: 1, untouched: true },
  'prune.deleting': { time: 1, untouched: true },
  'prune.manifest-removed': { time: 2, untouched: false },
  'prune.snapshot-removed': { time: 1, untouched: false },
  'prune.cut-stored': { time: 1, untouched: false },
  'prune.object-removed': { time: 7, untouched: false },
  'prune.removed': { time: 1, untouched: false },
};

let template: Awaited<ReturnType<typeof temporaryFolder>>;
let expected: string[];
beforeAll(async () => {
  template = await temporaryFolder();
  const repository = await newRepository(createFolderStore({ root: join(template.path, 'repository') }));
  await hourlyStream(repository, 20);
  for (const hour of [1, 5, 10, 19]) await hourlySnapshot(repository, hour);
  await writeFile(
    join(template.path, 'tidemark.yaml'),
    'repositories: { local: ./repository }\nretention: { local: { keepLast: 1, changes: 5h, grace: 0s } }\n',
  );
  await using folder = await copied();
  await tidemarkJson(['prune', '--apply'], { cwd: folder.path });
  expected = await stored(folder.path);
}, 120_000);
afterAll(() => template[Symbol.asyncDispose]());

async function copied(): Promise<Awaited<ReturnType<typeof temporaryFolder>>> {
  const folder = await temporaryFolder();
  await cp(template.path, folder.path, { recursive: true });
  return folder;
}

/** All but what another run may leave: locks and marks are gone once one has ended well. */
async function stored(path: string): Promise<string[]> {
  const entries = await readdir(join(path, 'repository'), { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(path.length))
    .sort();
}

test('what is to go goes', async () => {
  expect(expected.filter((key) => key.endsWith('manifest.json'))).toHaveLength(2);
  expect(expected.filter((key) => key.includes('/cuts/'))).toHaveLength(1);
  expect(expected.filter((key) => key.includes('/chapters/'))).toHaveLength(3);
  expect(expected.filter((key) => key.includes('leases'))).toEqual([]);
});

test.for(Object.entries(POINTS))(
  'P8: kill -9 at %s: what is left verifies, and the next run ends it',
  { timeout: 120_000 },
  async ([name, { time, untouched }]) => {
    const point = name as Of<'prune'>;
    await using folder = await copied();
    const before = await stored(folder.path);
    await killedAt({ point, time, args: ['prune', '--apply'], cwd: folder.path });
    const isThere = new Set(await stored(folder.path));
    expect(before.every((key) => isThere.has(key))).toBe(untouched);
    const verified = await tidemark(['verify'], { cwd: folder.path });
    expect(verified.stdout + verified.stderr).not.toContain('BROKEN');
    expect(verified.exitCode).toBe(0);
    await tidemarkJson(['prune', '--apply'], { cwd: folder.path });
    expect(await stored(folder.path)).toEqual(expected);
  },
);

test('^C while it removes: the next run ends it', { timeout: 120_000 }, async () => {
  await using folder = await copied();
  expect(
    await interruptedAt({
      point: 'prune.object-removed',
      time: 3,
      args: ['prune', '--apply'],
      cwd: folder.path,
    }),
  ).toBe(130);
  await tidemarkJson(['prune', '--apply'], { cwd: folder.path });
  expect(await stored(folder.path)).toEqual(expected);
});
