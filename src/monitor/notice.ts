import type { FailureCode } from '../model/failure-codes.ts';
import { withoutSecrets } from '../model/secrets.ts';

/** Something that somebody should know. Holds no secret, no SQL and no row. */
export interface Notice {
  readonly kind: 'failure' | 'recovery' | 'success' | 'test';
  /** What it is about: a schedule's name, `capture`, `gap`. */
  readonly subject: string;
  /** Of a failure. */
  readonly code: FailureCode | undefined;
  readonly message: string;
  readonly remedy: string | undefined;
  readonly source: string;
  readonly at: Date;
}

export type WebhookFormat = 'json' | 'slack' | 'discord';

const NOTICE_VERSION = 1;
/** Discord takes 2,000 characters; more would be cut there, or refused. */
const MOST_CHARACTERS = 1800;

/** In one line: what a mail has as its subject. */
export function headlineOf({ kind, subject, source, code }: Notice): string {
  const what = {
    failure: `FAILED: ${subject}${code === undefined ? '' : ` (${code})`}`,
    recovery: `works again: ${subject}`,
    success: `done: ${subject}`,
    test: 'a test: notices arrive here',
  };
  return `tidemark ${source}: ${what[kind]}`;
}

export function textOf(notice: Notice): string {
  const { message, remedy, at } = notice;
  const lines = [
    headlineOf(notice),
    ...(message === '' ? [] : [withoutSecrets(message)]),
    ...(remedy === undefined ? [] : [`what to do: ${remedy}`]),
    at.toISOString(),
  ];
  return lines.join('\n').slice(0, MOST_CHARACTERS);
}

/** The body of a webhook. The generic form is stable: it grows and never changes. */
export function webhookBody(notice: Notice, format: WebhookFormat): Readonly<Record<string, unknown>> {
  if (format === 'slack') return { text: textOf(notice) };
  if (format === 'discord') return { content: textOf(notice) };
  const { kind, subject, code, message, remedy, source, at } = notice;
  return {
    version: NOTICE_VERSION,
    kind,
    source,
    subject,
    code: code ?? null,
    message: withoutSecrets(message),
    remedy: remedy ?? null,
    at: at.toISOString(),
    text: textOf(notice),
  };
}

/** By the URL, where nothing is said. */
export function formatOf(url: string): WebhookFormat {
  const host = URL.parse(url)?.hostname ?? '';
  if (host === 'hooks.slack.com') return 'slack';
  return /^(?:\w+\.)?discord(?:app)?\.com$/.test(host) ? 'discord' : 'json';
}
