import { readFile } from 'node:fs/promises';
import { Failure } from '../model/failure.ts';
import { mailTarget } from '../monitor/mail.ts';
import type { MailServer } from '../monitor/mail.ts';
import { formatOf } from '../monitor/notice.ts';
import { Notifier } from '../monitor/notifier.ts';
import type { NoticeTarget } from '../monitor/notifier.ts';
import { webhookTarget } from '../monitor/webhook.ts';
import type { Config } from './config.ts';
import type { SmtpConfig } from './config-unattended.ts';
import type { Settings } from './settings.ts';

/** Everyone that `notify` names. Fails with `config.missing` when the mail server's password can't be read. */
export async function notifyTargets({ notify = [], smtp }: Config): Promise<NoticeTarget[]> {
  const server = smtp === undefined ? undefined : await mailServer(smtp);
  return notify.map((entry) => {
    if ('webhook' in entry) {
      const { webhook: url, format = formatOf(url), on } = entry;
      return webhookTarget({ url, format, on });
    }
    if (server === undefined)
      throw new Failure('config.missing', 'mail needs smtp, the server that takes it');
    return mailTarget({ server, from: smtp?.from ?? entry.email, to: entry.email, on: entry.on });
  });
}

/** Sends a test to everyone, once; what came of each. Fails with `config.missing` when nobody is named. */
export async function testNotices(
  settings: Settings,
): Promise<{ readonly target: string; readonly failure: Failure | undefined }[]> {
  const targets = await notifyTargets(settings.config);
  if (targets.length === 0)
    throw new Failure('config.missing', 'nobody is to be told', {
      remedy: 'write notify into tidemark.yaml',
    });
  const results: { target: string; failure: Failure | undefined }[] = [];
  const notifier = new Notifier(
    targets,
    (event) =>
      results.push({ target: event.target, failure: event.kind === 'told' ? undefined : event.failure }),
    [],
  );
  const what = { subject: 'test', code: undefined, message: '', remedy: undefined };
  notifier.tell({ kind: 'test', ...what, source: settings.sourceName, at: new Date() });
  await notifier.close();
  return results;
}

const SUBMISSION = 587;
const SUBMISSIONS = 465;

async function mailServer(smtp: SmtpConfig): Promise<MailServer> {
  const url = smtp.url === undefined ? undefined : new URL(smtp.url);
  const secure = smtp.secure ?? (url?.protocol === 'smtps:' || smtp.port === SUBMISSIONS);
  const given = (text: string | undefined): string | undefined =>
    text === undefined || text === '' ? undefined : decodeURIComponent(text);
  return {
    host: (smtp.host ?? url?.hostname ?? '').replaceAll(/^\[|\]$/g, ''),
    port: smtp.port ?? Number(given(url?.port) ?? (secure ? SUBMISSIONS : SUBMISSION)),
    secure,
    user: smtp.user ?? given(url?.username),
    password: await passwordOf(smtp, given(url?.password)),
  };
}

async function passwordOf(smtp: SmtpConfig, inUrl: string | undefined): Promise<string | undefined> {
  const file = smtp.passwordFile;
  if (file === undefined) return smtp.password ?? inUrl;
  try {
    return (await readFile(file, 'utf8')).trimEnd();
  } catch (cause) {
    throw new Failure('config.missing', `smtp.passwordFile: ${file} can't be read`, {
      facts: { file },
      cause,
    });
  }
}
