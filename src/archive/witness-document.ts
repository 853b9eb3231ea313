import { z } from 'zod';
import { FORMAT_VERSION, tieSchema } from './manifest.ts';

const bigInteger = z.string().regex(/^\d{1,20}$/);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const instant = z.iso.datetime();
const count = z.number().int().nonnegative();
const relationName = z.object({ schema: z.string(), name: z.string() });

/**
 * `sources/<source>/witnesses/<id>.json`: which tables of the source were digested under one snapshot of it. Written
 * last. The digests lie beside it and are encrypted: those of a small table could be guessed.
 */
export const witnessSchema = z.object({
  formatVersion: z.literal(FORMAT_VERSION),
  kind: z.literal('tidemark-witness'),
  id: z.string(),
  source: z.string(),
  repositoryId: z.string(),
  createdBy: z.string(),
  /** Server clock: what it shows. */
  instant,
  finishedAt: instant,
  tie: tieSchema,
  /** The backup's own snapshot that shows the same instant. */
  snapshot: z.string().optional(),
  server: z.object({
    version: z.number().int(),
    systemIdentifier: bigInteger,
    timeline: z.number().int(),
    databaseOid: z.number().int(),
    encoding: z.string(),
  }),
  /** Session settings that shape the rows' text, as read back. */
  settings: z.record(z.string(), z.string()),
  /** How digests are made, by name. */
  method: z.string(),
  tables: z.array(
    relationName.extend({
      columns: z.array(z.string()),
      condition: z.string().optional(),
      rows: bigInteger,
      milliseconds: count,
    }),
  ),
  /** Tables that were not digested, and why. */
  left: z.array(relationName.extend({ reason: z.enum(['time', 'locked', 'too-long']) })),
  encryptedTo: z.array(sha256),
  digests: z.object({ name: z.string(), sizeBytes: count, sha256, plainBytes: count }),
});
export type WitnessDocument = z.infer<typeof witnessSchema>;

/** The digests' plaintext: a line for each of `tables`, in order. */
export const digestLineSchema = z.object({
  lanes: z.tuple([signed(), signed(), signed(), signed()]),
});

function signed(): z.ZodString {
  return z.string().regex(/^-?\d{1,40}$/);
}
