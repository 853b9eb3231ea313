import { defineConfig } from 'vitest/config';

/** One project per kind of test; a project that collects nothing fails (passWithNoTests stays off). */
const project = (name: string, options: { timeoutMs: number; serial?: boolean }) => ({
  test: {
    name,
    include: [`${name}/**/*.test.ts`],
    testTimeout: options.timeoutMs,
    hookTimeout: 180_000,
    pool: 'forks' as const,
    fileParallelism: options.serial !== true,
  },
});

export default defineConfig({
  test: {
    projects: [
      project('unit', { timeoutMs: 20_000 }),
      project('contract', { timeoutMs: 60_000, serial: true }),
      project('integration', { timeoutMs: 180_000, serial: true }),
      project('fault', { timeoutMs: 180_000, serial: true }),
      project('scenario', { timeoutMs: 240_000, serial: true }),
    ],
  },
});
