// `npm run torture -- [--minutes N] [--seed N]`: rounds of torture and snapshots of the seam until the time is over; then the figures.
import { parseArgs } from 'node:util';
import type { Failpoint } from '../../src/runtime/failpoints.ts';
import { testServer } from '../support/postgres.ts';
import { startS3 } from '../support/s3.ts';
import { KILLED_AT } from './chaos.ts';
import { TORTURE_SETTINGS, tortureRound } from './round.ts';
import type { RoundFigures } from './round.ts';
import { SEAM_SETTINGS, seam } from './seam.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string', default: process.env['TIDEMARK_TORTURE_SEED'] ?? String(Date.now() % 100_000) },
    major: { type: 'string', default: '17' },
    snapshots: { type: 'string', default: '500' },
    points: { type: 'string', default: '40' },
  },
});
const major = Number(values.major) as 17;
const first = Number(values.seed);
const points = Number(values.points);
const end = Date.now() + Number(values.minutes) * 60_000;
const print = (line: string): void => void process.stdout.write(`${line}\n`);

print(`PostgreSQL ${major}, ${values.minutes} minutes, seed ${first}`);
await using s3 = await startS3();
const seamWrong = await seamOnce();
const rounds: RoundFigures[] = [];
const hit = new Set<Failpoint>();
await using source = await testServer(major, TORTURE_SETTINGS);
await using target = await testServer(major);
for (let round = 1; round <= 2 || Date.now() < end; round += 1) {
  const seed = first + round;
  print(`\nround ${round}, seed ${seed}`);
  const figures = await tortureRound({
    source,
    target,
    s3,
    seed,
    seconds: 40,
    sessions: 4,
    commits: 60,
    replayKills: 100,
    large: round % 2 === 0,
    points: round % 2 === 0 ? Math.min(8, points) : points,
    gap: true,
    hit,
    say: (line) => print(`  ${line}`),
  });
  rounds.push(figures);
  for (const point of figures.points) hit.add(point);
  for (const line of figures.wrong) print(`  WRONG ${line}`);
  print(`  lost = ${figures.lost}, doubled = ${figures.doubled}, wrong = ${figures.wrong.length}`);
}
const sum = (of: (round: RoundFigures) => number): number =>
  rounds.reduce((all, round) => all + of(round), 0);
const missed = KILLED_AT.filter((point) => !hit.has(point));
print(`
${rounds.length} rounds of torture:
  transactions in the stream              ${sum((round) => round.transactions)}, ${sum((round) => round.large)} of them in parts
  capture killed with -9                  ${sum((round) => round.kills)}, at ${hit.size} of ${KILLED_AT.length} failpoints and anywhere
  networks silent or reset, store faults  ${sum((round) => round.networks)}, ${sum((round) => round.storeFaults)}
  replay killed                           ${sum((round) => round.replayKills)} times in ${sum((round) => round.targets.killed)} restores
  targets visible in a witness            ${sum((round) => round.targets.visible)}
  targets of a native subscription        ${sum((round) => round.targets.native)}
  targets at each commit                  ${sum((round) => round.targets.commits)}
  targets by the program, stock pg_dump   ${sum((round) => round.targets.program)}
  lost = ${sum((round) => round.lost)}, doubled = ${sum((round) => round.doubled)}, wrong = ${sum((round) => round.wrong.length)}`);
if (missed.length > 0) print(`NOT KILLED AT ${missed.join(', ')}: more time is needed`);
if (missed.length + seamWrong + sum((round) => round.lost + round.doubled + round.wrong.length) > 0)
  process.exitCode = 1;

async function seamOnce(): Promise<number> {
  await using server = await testServer(major, SEAM_SETTINGS);
  const found = await seam(server, { snapshots: Number(values.snapshots), whole: 5, seed: first });
  const { snapshots, refused, transactions, judged, wrong, astray, wrongByPosition } = found;
  print(
    `seam: ${snapshots} snapshots (${refused} refused), ${transactions} transactions, ${judged} judgements, wrong = ${wrong.length}, astray = ${astray}; by position alone ${wrongByPosition}`,
  );
  for (const line of wrong.slice(0, 20)) print(`  WRONG ${line}`);
  return wrong.length + astray;
}
