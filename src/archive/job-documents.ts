import { z } from 'zod';
import { FORMAT_VERSION } from './manifest.ts';

const instant = z.iso.datetime();

/** `jobs/<schedule>/<id>.begun.json`: an attempt at what a schedule asks for, before anything is done. */
export const jobBegunSchema = z.object({
  formatVersion: z.literal(FORMAT_VERSION),
  kind: z.literal('tidemark-job-begun'),
  id: z.string(),
  source: z.string(),
  /** The schedule's name. */
  schedule: z.string(),
  job: z.enum(['snapshot', 'verify', 'prune', 'notify']),
  reason: z.enum(['scheduled', 'missed', 'first', 'retry']),
  /** By our own clock, like all times here. */
  dueAt: instant,
  /** From 1, for the same `dueAt`. */
  attempt: z.int().min(1),
  startedAt: instant,
});
export type JobBegun = z.infer<typeof jobBegunSchema>;

/** `jobs/<schedule>/<id>.ended.json`. Where it is missing, the job is under way or was killed. */
export const jobEndedSchema = z.object({
  formatVersion: z.literal(FORMAT_VERSION),
  kind: z.literal('tidemark-job-ended'),
  id: z.string(),
  source: z.string(),
  outcome: z.enum(['done', 'failed', 'interrupted']),
  endedAt: instant,
  /** What a snapshot job made. */
  snapshot: z.string().optional(),
  /** Why it failed; no message, which might name a host. */
  code: z.string().optional(),
});
export type JobEnded = z.infer<typeof jobEndedSchema>;
