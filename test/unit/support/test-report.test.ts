import { expect, test } from 'vitest';
import { countReport } from '../../support/test-report.ts';

const file = (status: string, ...tests: string[]) => ({
  status,
  assertionResults: tests.map((status) => ({ status })),
});

test.each([
  ['a failed test is one', [file('failed', 'passed', 'failed')], { passed: 1, failed: 1, skipped: 0 }],
  [
    'a file that did not load is one',
    [file('failed'), file('passed', 'passed')],
    { passed: 1, failed: 1, skipped: 0 },
  ],
  ['a hook that threw is one', [file('failed', 'skipped', 'skipped')], { passed: 0, failed: 1, skipped: 2 }],
  ['a hook after good tests too', [file('failed', 'passed')], { passed: 1, failed: 1, skipped: 0 }],
  [
    'all of several',
    [file('failed', 'failed', 'failed'), file('failed')],
    { passed: 0, failed: 3, skipped: 0 },
  ],
  [
    'left out is not passed',
    [file('passed', 'passed', 'todo', 'pending')],
    { passed: 1, failed: 0, skipped: 2 },
  ],
] as const)('%s', (_, testResults, totals) => {
  expect(countReport({ testResults })).toEqual(totals);
});
