import { z } from 'zod';
import { FORMAT_VERSION } from './manifest.ts';

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
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
