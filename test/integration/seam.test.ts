import { expect, test } from 'vitest';
import { testServer } from '../support/postgres.ts';
import { SEAM_SETTINGS, seam } from '../torture/seam.ts';

test('P3, I 12, I 13: under load each transaction is in a snapshot or comes after it, as the server itself says', async () => {
  await using server = await testServer(17, SEAM_SETTINGS);
  const found = await seam(server, { snapshots: 110, whole: 1, seed: 3 });
  expect(found).toMatchObject({ wrong: [], astray: 0 });
  expect(found.snapshots).toBeGreaterThan(60);
  expect(found.judged).toBeGreaterThan(10_000);
  // Comparing positions alone would not have done.
  expect(found.wrongByPosition).toBeGreaterThan(0);
});
