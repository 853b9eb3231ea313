// `npm test`: checks, then every kind of test, each on real servers that it starts itself.
// TIDEMARK_TEST_WITHOUT=s3,… leaves parts out by name; the last line of a run says which.
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { countReport } from './support/test-report.ts';
import type { TestReport, Totals } from './support/test-report.ts';

const PROJECT = fileURLToPath(new URL('..', import.meta.url));
/** Parts that can be left out, and the files that need them. */
const PARTS: Readonly<Record<string, readonly string[]>> = {
  s3: [
    'contract/s3.test.ts',
    'contract/gcs.test.ts',
    'fault/bad-days.test.ts',
    'fault/failpoints-s3.test.ts',
    'fault/s3.test.ts',
    'fault/signed-snapshot.test.ts',
    'fault/torture.test.ts',
    'integration/authenticity-s3.test.ts',
    'scenario/s3.test.ts',
  ],
  majors: ['integration/majors.test.ts'],
};
const CHECKS = [
  ['oxfmt', '--check', '.'],
  ['oxlint', '--deny-warnings', 'src', 'test'],
  ['tsc', '-p', '.'],
  ['tsc', '-p', 'test'],
  ['knip', '--config', '.knip.json'],
] as const;
const PROJECTS = ['unit', 'contract', 'integration', 'fault', 'scenario'] as const;

const without = (process.env['TIDEMARK_TEST_WITHOUT'] ?? '').split(',').filter(Boolean);
const unknown = without.filter((part) => !(part in PARTS));
if (unknown.length > 0)
  fail(`TIDEMARK_TEST_WITHOUT: ${unknown.join(', ')} is no part; parts are ${Object.keys(PARTS).join(', ')}`);

const totals: Totals = { passed: 0, failed: 0, skipped: 0 };
for (const check of CHECKS) if (!(await run(check))) fail(`${check.join(' ')} failed`);
for (const project of PROJECTS) await runProject(project);

process.stdout.write(`\n${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped\n`);
process.stdout.write(`left out: ${without.length === 0 ? 'nothing' : without.join(', ')}\n`);
process.exitCode = totals.failed > 0 ? 1 : 0;

async function runProject(project: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-report-'));
  const report = join(folder, 'report.json');
  const left = without.flatMap((part) => PARTS[part] ?? []);
  const files = readdirSync(join(PROJECT, 'test', project), { recursive: true, encoding: 'utf8' });
  if (!files.some((file) => file.endsWith('.test.ts'))) fail(`project ${project} has no tests`);
  const ok = await run([
    'vitest',
    'run',
    '--root',
    'test',
    '--project',
    project,
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
    ...left.map((file) => `--exclude=${file}`),
  ]);
  const counted = countReport(JSON.parse(readFileSync(report, 'utf8')) as TestReport);
  rmSync(folder, { recursive: true });
  totals.passed += counted.passed;
  totals.failed += counted.failed;
  totals.skipped += counted.skipped;
  if (counted.passed === 0) fail(`project ${project} ran no test`);
  if (!ok && totals.failed === 0) totals.failed += 1;
}

async function run([file, ...args]: readonly string[]): Promise<boolean> {
  process.stdout.write(`\n— ${file} ${args.slice(0, 5).join(' ')}\n`);
  const result = await execa(file ?? '', args, {
    cwd: PROJECT,
    preferLocal: true,
    localDir: PROJECT,
    stdio: ['ignore', 'inherit', 'inherit'],
    reject: false,
  });
  return result.exitCode === 0;
}

function fail(why: string): never {
  process.stdout.write(`${why}\n`);
  process.exit(1);
}
