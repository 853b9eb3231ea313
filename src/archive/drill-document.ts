import { z } from 'zod';
import { FORMAT_VERSION } from './manifest.ts';

const instant = z.iso.datetime();
const milliseconds = z.number().int().nonnegative();
const count = z.number().int().nonnegative();

/** One thing that was looked at. `skipped`: it could not be looked at here, and proves nothing. */
const proofSchema = z.object({
  kind: z.enum(['restore', 'witness', 'foreign-keys', 'sequences', 'indexes', 'table', 'check']),
  name: z.string(),
  outcome: z.enum(['proved', 'disproved', 'skipped']),
  /** What was found, in words; never a row's value but for a check's own one. */
  detail: z.string(),
});
export type Proof = z.infer<typeof proofSchema>;

/** `sources/<source>/drills/<id>.json.zst[.age]`: what a restore into a throw-away server has shown. */
export const drillSchema = z.object({
  formatVersion: z.literal(FORMAT_VERSION),
  kind: z.literal('tidemark-drill'),
  id: z.string(),
  source: z.string(),
  repositoryId: z.string(),
  createdBy: z.string(),
  startedAt: instant,
  finishedAt: instant,
  /** As it was asked for, and as it can be asked for again. */
  point: z.object({ asked: z.string(), target: z.string() }),
  snapshot: z.string().optional(),
  server: z.object({ kind: z.enum(['local', 'url']), major: count }),
  phases: z.array(z.object({ name: z.string(), milliseconds })),
  restored: z.object({ tables: count, rows: z.string(), bytes: count, changes: count }).optional(),
  proofs: z.array(proofSchema),
  /** From the start until the database could be used. */
  rtoMilliseconds: milliseconds.optional(),
  /** How far the newest instant that could be restored lay behind, when the drill began. */
  rpoMilliseconds: milliseconds.optional(),
  objectives: z.object({ rtoMilliseconds: milliseconds, rpoMilliseconds: milliseconds }),
  /** Where the restore itself failed. */
  failure: z.object({ code: z.string(), message: z.string() }).optional(),
  verdict: z.enum(['proved', 'partly', 'disproved', 'failed']),
});
export type DrillDocument = z.infer<typeof drillSchema>;

/** What can be shown to anyone: no row, and no name of a table. */
export const receiptSchema = z.object({
  formatVersion: z.literal(FORMAT_VERSION),
  kind: z.literal('tidemark-drill-receipt'),
  drill: z.string(),
  source: z.string(),
  repositoryId: z.string(),
  point: z.string(),
  snapshot: z.string().optional(),
  startedAt: instant,
  finishedAt: instant,
  verdict: z.enum(['proved', 'partly', 'disproved', 'failed']),
  proofs: z.object({ proved: count, disproved: count, skipped: count }),
});
export type Receipt = z.infer<typeof receiptSchema>;
