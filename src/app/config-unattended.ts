import { z } from 'zod';
import { parseDuration } from '../model/quantities.ts';
import { isCron, isTimeZone } from '../schedule/cron-rule.ts';

export const name = z
  .string()
  .regex(/^[a-z0-9][a-z0-9_-]{0,30}$/, 'up to 31 lower-case letters, digits, _ and -');

const duration = z
  .string()
  .refine((text) => parseDuration(text) !== undefined, 'a time like 10s or 5min')
  .transform((text) => parseDuration(text) ?? 0);

/** The job history keeps under this name what could not be told to anybody. */
export const NOTIFY = 'notify';

const common = {
  name: name.refine((text) => text !== NOTIFY, `${NOTIFY} is taken`),
  cron: z.string().refine(isCron, 'five fields like "0 2 * * *"'),
  /** The zone of the rule; UTC where none is named, whatever the machine's is. */
  timezone: z.string().refine(isTimeZone, 'a time zone like Europe/Berlin').default('UTC'),
  /** Of `repositories`; else the one that is meant where none is named. */
  repository: name.optional(),
  /** Pauses before another attempt, after each failure. */
  retry: z.array(duration).max(10).default([60_000, 300_000, 900_000]),
};

const scheduleSchema = z.discriminatedUnion('job', [
  z.strictObject({
    ...common,
    job: z.literal('snapshot'),
    engine: z.enum(['copy', 'pg_dump']).default('copy'),
    jobs: z.int().min(1).max(64).optional(),
    /** Also digests of every table, for `tidemark witness --compare`. */
    witness: z.boolean().default(false),
    /** Of the objects of these snapshots, instead of the repository's own. */
    storageClass: z.string().min(1).optional(),
  }),
  z.strictObject({ ...common, job: z.literal('verify'), deep: z.boolean().default(false) }),
  /** By the `retention` of its repository: removes what the run before has marked. */
  z.strictObject({ ...common, job: z.literal('prune') }),
]);
export type Schedule = z.infer<typeof scheduleSchema>;

export const schedulesSchema = z
  .array(scheduleSchema)
  .min(1)
  .refine((all) => new Set(all.map((one) => one.name)).size === all.length, 'two schedules of one name');

const on = z
  .array(z.enum(['failure', 'success']))
  .min(1)
  .default(['failure']);

const httpUrl = z.string().refine((text) => {
  const url = URL.parse(text);
  return url?.protocol === 'https:' || url?.protocol === 'http:';
}, 'an http(s) URL');

export const notifySchema = z.array(
  z.union([
    z.strictObject({ email: z.email(), on }),
    z.strictObject({ webhook: httpUrl, format: z.enum(['json', 'slack', 'discord']).optional(), on }),
  ]),
);

export const smtpSchema = z
  .strictObject({
    /** `smtp://` (STARTTLS where the server offers it) or `smtps://`; user and password may stand in it. */
    url: z
      .string()
      .refine((text) => /^smtps?:$/.test(URL.parse(text)?.protocol ?? ''), 'an smtp:// or smtps:// URL')
      .optional(),
    host: z.string().min(1).optional(),
    port: z.int().min(1).max(65_535).optional(),
    /** TLS from the first byte; by default on port 465 alone. */
    secure: z.boolean().optional(),
    user: z.string().min(1).optional(),
    password: z.string().min(1).optional(),
    passwordFile: z.string().min(1).optional(),
    /** The sender; by default the first receiver. */
    from: z.string().min(1).optional(),
  })
  .refine((smtp) => (smtp.url === undefined) !== (smtp.host === undefined), 'either url or host');
export type SmtpConfig = z.infer<typeof smtpSchema>;
