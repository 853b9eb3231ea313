import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ThrowawayServer } from '../../src/server/start-server.ts';
import { testServer } from '../support/postgres.ts';
import { startS3 } from '../support/s3.ts';
import type { TestS3 } from '../support/s3.ts';
import { TORTURE_SETTINGS, tortureRound } from '../torture/round.ts';

let source: ThrowawayServer;
let target: ThrowawayServer;
let s3: TestS3;
beforeAll(async () => {
  source = await testServer(16, TORTURE_SETTINGS);
  target = await testServer(16);
  s3 = await startS3();
});
afterAll(async () => {
  await s3[Symbol.asyncDispose]();
  await target[Symbol.asyncDispose]();
  await source[Symbol.asyncDispose]();
});

test(
  'P1, P3, P5, I 46: under random load and random faults nothing is lost or doubled, and each point comes back',
  { timeout: 400_000 },
  async () => {
    const seed = Number(process.env['TIDEMARK_TORTURE_SEED'] ?? 20);
    const found = await tortureRound({
      source,
      target,
      s3,
      seed,
      seconds: 12,
      sessions: 3,
      commits: 20,
      replayKills: 20,
      large: false,
    });
    expect({ seed, ...found }).toMatchObject({ wrong: [], lost: 0, doubled: 0 });
    expect(found.transactions).toBeGreaterThan(50);
    expect(found.kills).toBeGreaterThan(1);
    expect(found.targets.visible).toBeGreaterThan(3);
    expect(found.targets.native).toBeGreaterThan(0);
  },
);
