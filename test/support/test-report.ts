export interface Totals {
  passed: number;
  failed: number;
  skipped: number;
}

/** What `run.ts` reads of the JSON that vitest reports. */
export interface TestReport {
  readonly testResults: readonly {
    readonly status: string;
    readonly assertionResults: readonly { readonly status: string }[];
  }[];
}

/**
 * Tests by how they ended. A file that failed without a failed test in it, which did not load or whose hook threw, is
 * one failure; vitest's own sums count a failed test's file and suites beside it.
 */
export function countReport(report: TestReport): Totals {
  const totals = { passed: 0, failed: 0, skipped: 0 };
  for (const file of report.testResults) {
    const count = (wanted: string): number =>
      file.assertionResults.filter(({ status }) => status === wanted).length;
    const failed = count('failed');
    totals.passed += count('passed');
    totals.failed += file.status === 'failed' ? Math.max(1, failed) : failed;
    totals.skipped += file.assertionResults.length - count('passed') - failed;
  }
  return totals;
}
