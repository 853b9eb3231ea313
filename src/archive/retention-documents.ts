import { z } from 'zod';
import { FORMAT_VERSION } from './manifest.ts';

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.number().int().nonnegative();
const lsn = z.string().regex(/^[0-9A-F]{1,8}\/[0-9A-F]{1,8}$/);

/**
 * `sources/<source>/streams/<id>/cuts/<position>.json`: what lies before the position was taken away on purpose. It
 * is stored before the first object goes: a stream whose beginning is missing without it is damaged.
 */
export const cutSchema = z.object({
  formatVersion: z.literal(FORMAT_VERSION),
  kind: z.literal('tidemark-cut'),
  source: z.string(),
  stream: z.string(),
  /** `from` of the first run that stays. */
  at: lsn,
  /** What that run is chained to: nobody can put another one in its place. */
  previous: sha256,
  createdBy: z.string(),
  cutAt: z.iso.datetime(),
});
export type CutDocument = z.infer<typeof cutSchema>;

/** What makes a lease or mark one that somebody stands behind: it changes at least once within `ttlSeconds`. */
const held = {
  formatVersion: z.literal(FORMAT_VERSION),
  id: z.string(),
  source: z.string(),
  ttlSeconds: z.number().positive(),
  renewals: count,
};

/** `leases/restore-<source>-<id>.json`: a restore reads these things; nothing of them may go. */
export const leaseSchema = z.object({
  ...held,
  kind: z.literal('tidemark-lease'),
  /** Absent while it still plans: anything of the source. */
  needs: z
    .object({
      snapshot: z.string(),
      /** Of `stream`, everything at or behind `from`. */
      changes: z.object({ stream: z.string(), from: lsn }).optional(),
    })
    .optional(),
});
export type LeaseDocument = z.infer<typeof leaseSchema>;

/** `leases/prune-<source>.json`: what will go, or, while `state` is `deleting`, what must count as gone. */
export const pruneMarkSchema = z.object({
  ...held,
  kind: z.literal('tidemark-prune'),
  state: z.enum(['marked', 'deleting']),
  snapshots: z.array(z.string()),
  cuts: z.array(z.object({ stream: z.string(), at: lsn })),
  /** Beginnings of keys: data that no document names. */
  leftovers: z.array(z.string()),
});
export type PruneMark = z.infer<typeof pruneMarkSchema>;
