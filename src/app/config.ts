import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { z } from 'zod';
import { parseExpectation } from '../drill/expectation.ts';
import { Failure } from '../model/failure.ts';
import { name, notifySchema, schedulesSchema, smtpSchema } from './config-unattended.ts';
import { LEAST_RATE, parseDuration, parsePeriod, parseRate, parseSize } from '../model/quantities.ts';

const sourceSchema = z.strictObject({
  url: z.string().min(1),
  /** For change capture, where `url` leads through a pooler. */
  captureUrl: z.string().min(1).optional(),
  /** Name patterns: snapshots of this source are limited to them. */
  tables: z.array(z.string()).optional(),
  schemas: z.array(z.string()).optional(),
  exclude: z.array(z.string()).optional(),
});

const duration = z
  .string()
  .refine((text) => parseDuration(text) !== undefined, 'a time like 30s, 15min or 4h');

const rate = z
  .string()
  .refine((text) => (parseRate(text) ?? 0) >= LEAST_RATE, 'a rate like 20MB/s, at least 100KB/s');

const repositorySchema = z.strictObject({
  url: z.string().min(1),
  endpoint: z.string().optional(),
  region: z.string().optional(),
  pathStyle: z.boolean().optional(),
  sse: z.enum(['AES256', 'aws:kms']).optional(),
  sseKmsKeyId: z.string().optional(),
  storageClass: z.string().optional(),
  profile: z.string().optional(),
  roleArn: z.string().optional(),
  accessKeyId: z.string().optional(),
  secretAccessKey: z.string().optional(),
  sessionToken: z.string().optional(),
  objectLock: z
    .strictObject({ mode: z.enum(['GOVERNANCE', 'COMPLIANCE']), retainDays: z.int().min(1) })
    .optional(),
  limits: z.strictObject({ upload: rate.optional(), download: rate.optional() }).optional(),
});

const keep = z.int().min(1).max(100_000).optional();
const period = z
  .string()
  .refine((text) => parsePeriod(text) !== undefined, 'a period like 30d, 12h or 8w')
  .optional();

/** What `prune` keeps of each source in a repository. */
const retentionSchema = z.strictObject({
  keepLast: keep,
  keepHourly: keep,
  keepDaily: keep,
  keepWeekly: keep,
  keepMonthly: keep,
  keepYearly: keep,
  keepWithin: period,
  /** Every instant this far back stays restorable; without it, from the oldest snapshot on that a rule keeps. */
  changes: period.refine((text) => text === undefined || (parsePeriod(text) ?? 0) > 0, 'more than nothing'),
  timezone: z.string().refine(isTimeZone, 'a time zone like Europe/Berlin').optional(),
  /** How long what goes stays after it was marked. */
  grace: period,
});

function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).format(0) !== '';
  } catch {
    return false;
  }
}

/** `tidemark.yaml`. Unknown settings are refused: one that is ignored silently may be the one that mattered. */
const configSchema = z.strictObject({
  sources: z.record(name, sourceSchema).optional(),
  repositories: z.record(name, z.union([z.string().min(1), repositorySchema])).optional(),
  snapshot: z
    .strictObject({
      jobs: z.int().min(1).max(64).optional(),
      compression: z.enum(['zstd', 'gzip', 'none']).optional(),
      lockTimeout: z.string().optional(),
    })
    .optional(),
  capture: z
    .strictObject({
      /** Of `repositories`: where changes go, and what is meant where several are configured and none is named. */
      repository: name.optional(),
      flush: z
        .string()
        .refine((text) => parseDuration(text) !== undefined, 'a time like 10s')
        .optional(),
      maxSlotLag: z
        .string()
        .refine((text) => parseSize(text) !== undefined, 'a size like 2GB')
        .optional(),
    })
    .optional(),
  /** How long a restore may take, and how much work may be lost. */
  objectives: z.strictObject({ rto: duration.optional(), rpo: duration.optional() }).optional(),
  drill: z
    .strictObject({
      /** `local`, or the URL of a server where databases may be made. */
      server: z.string().min(1).optional(),
      checks: z
        .array(
          z.strictObject({
            name: z.string().min(1),
            sql: z.string().min(1),
            expect: z
              .string()
              .refine((text) => parseExpectation(text) !== undefined, 'a comparison like > 0'),
          }),
        )
        .optional(),
      /** Tables that must be there, and how many rows they have at least. */
      tables: z.record(z.string().regex(/^[^.]+\.[^.]+$/, 'schema.table'), z.int().min(0)).optional(),
    })
    .optional(),
  schedules: schedulesSchema.optional(),
  notify: notifySchema.optional(),
  smtp: smtpSchema.optional(),
  /** By the names of `repositories`. */
  retention: z.record(name, retentionSchema).optional(),
  /** A folder for temporary plaintext: what `--staging` names. */
  staging: z.string().min(1).optional(),
  encryption: z
    .strictObject({
      recipients: z.array(z.string().min(1)).optional(),
      identityFile: z.string().optional(),
    })
    .optional(),
  /** Ed25519, PEM: what is written is signed. */
  signing: z.strictObject({ keyFile: z.string().min(1) }).optional(),
  /** Public keys: what none of them signed is refused. An empty list would look like protection. */
  trust: z.array(z.string().min(1)).min(1).optional(),
});
export type Config = z.infer<typeof configSchema>;

const DEFAULT_CONFIG_FILE = 'tidemark.yaml';

export interface LoadedConfig {
  readonly config: Config;
  /** Undefined when there is no file. */
  readonly file: string | undefined;
}

/**
 * Reads the configuration. Without `file`, `tidemark.yaml` in the working directory, which may be absent.
 * `${NAME}` in a value stands for an environment variable. Fails with `config.invalid`, naming the setting and
 * never its value.
 */
export async function loadConfig(
  file: string | undefined,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<LoadedConfig> {
  const path = file ?? DEFAULT_CONFIG_FILE;
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    const absent = cause instanceof Error && 'code' in cause && cause.code === 'ENOENT';
    if (absent && file === undefined) return { config: {}, file: undefined };
    throw new Failure('config.missing', `${path} can't be read`, { facts: { file: path }, cause });
  }
  return { config: parseConfig(text, path, environment), file: path };
}

export function parseConfig(
  text: string,
  path: string,
  environment: Readonly<Record<string, string | undefined>>,
): Config {
  let document: unknown;
  try {
    document = parse(text) ?? {};
  } catch (cause) {
    const line = cause instanceof Error && 'linePos' in cause ? ` (${positionOf(cause.linePos)})` : '';
    throw new Failure('config.invalid', `${path} is not YAML${line}`, { facts: { file: path } });
  }
  const parsed = configSchema.safeParse(expand(document, environment, []));
  if (parsed.success) return withKnownNames(parsed.data, path);
  const issue = innermost(parsed.error.issues[0]);
  const where = issue?.path.join('.') ?? '';
  const what =
    issue?.code === 'unrecognized_keys' ? `unknown setting ${issue.keys.join(', ')}` : (issue?.message ?? '');
  throw new Failure('config.invalid', `${path}: ${where === '' ? '' : `${where}: `}${what}`, {
    facts: { file: path, setting: where },
  });
}

function withKnownNames(config: Config, path: string): Config {
  const refuse = (setting: string, what: string): never => {
    throw new Failure('config.invalid', `${path}: ${setting}: ${what}`, { facts: { file: path, setting } });
  };
  const named = [
    { setting: 'capture.repository', repository: config.capture?.repository },
    ...(config.schedules ?? []).map(({ repository }, index) => ({
      setting: `schedules.${index}.repository`,
      repository,
    })),
    ...Object.keys(config.retention ?? {}).map((repository) => ({ setting: 'retention', repository })),
  ];
  for (const { setting, repository } of named)
    if (repository !== undefined && config.repositories?.[repository] === undefined)
      refuse(setting, `no repository ${repository}`);
  for (const [index, { job, repository }] of (config.schedules ?? []).entries()) {
    const pruned = repository ?? config.capture?.repository ?? onlyName(config.repositories);
    if (job === 'prune' && (pruned === undefined || config.retention?.[pruned] === undefined))
      refuse(`schedules.${index}`, `retention says nothing of repository ${pruned ?? '(none is named)'}`);
  }
  const isMailed = config.notify?.some((entry) => 'email' in entry) === true;
  if (isMailed && config.smtp === undefined) refuse('notify', 'mail needs smtp, the server that takes it');
  return config;
}

type Issue = z.core.$ZodIssue;

/** Where several forms are taken, the one that was meant is the one that got furthest; else the last, an object. */
function innermost(issue: Issue | undefined): Issue | undefined {
  if (issue?.code !== 'invalid_union') return issue;
  const within = issue.errors
    .flatMap((issues) => issues.slice(0, 1))
    .map((inner) => innermost({ ...inner, path: [...issue.path, ...inner.path] }) ?? inner);
  return within.reverse().sort((a, b) => b.path.length - a.path.length)[0] ?? issue;
}

function expand(
  value: unknown,
  environment: Readonly<Record<string, string | undefined>>,
  path: readonly string[],
): unknown {
  if (typeof value === 'string') {
    return value.replaceAll(/\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g, (_, variable: string) => {
      const found = environment[variable];
      if (found === undefined || found === '') {
        throw new Failure('config.missing', `${path.join('.')} needs the environment variable ${variable}`, {
          facts: { setting: path.join('.'), variable },
        });
      }
      return found;
    });
  }
  if (Array.isArray(value))
    return value.map((item, index) => expand(item, environment, [...path, String(index)]));
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, expand(item, environment, [...path, key])]),
    );
  }
  return value;
}

function positionOf(linePos: unknown): string {
  const [first] = Array.isArray(linePos) ? (linePos as { line?: number }[]) : [];
  return first?.line === undefined ? 'see the file' : `line ${first.line}`;
}

/** The name that is meant when none is given: the only one there is. */
export function onlyName(record: Readonly<Record<string, unknown>> | undefined): string | undefined {
  const names = Object.keys(record ?? {});
  return names.length === 1 ? names[0] : undefined;
}
