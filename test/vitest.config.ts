import { defineConfig } from 'vitest/config';

/** One project per kind of test; a project that collects nothing fails (passWithNoTests stays off). */
const project = (name: string, options: { timeoutMs: number }) => ({
  test: {
    name,
    include: [`${name}/**/*.test.ts`],
    testTimeout: options.timeoutMs,
    hookTimeout: 180_000,
    pool: 'forks' as const,
    // Files share nothing but the machine; each has servers of its own, so more at once would want more memory than speed.
    maxWorkers: 2,
  },
});

export default defineConfig({
  test: {
    projects: [
      project('unit', { timeoutMs: 120_000 }),
      project('contract', { timeoutMs: 60_000 }),
      project('integration', { timeoutMs: 180_000 }),
      project('fault', { timeoutMs: 180_000 }),
      project('scenario', { timeoutMs: 240_000 }),
    ],
  },
});
