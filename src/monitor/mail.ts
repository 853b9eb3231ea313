import { createTransport } from 'nodemailer';
import type SMTPTransport from 'nodemailer/lib/smtp-transport';
import { Failure } from '../model/failure.ts';
import { headlineOf, textOf } from './notice.ts';
import type { NoticeTarget } from './notifier.ts';

/** The server that takes our mail. */
export interface MailServer {
  readonly host: string;
  readonly port: number;
  /** TLS from the first byte; else STARTTLS, which anything but loopback must offer. */
  readonly secure: boolean;
  readonly user: string | undefined;
  readonly password: string | undefined;
}

const SLOWEST_MS = 15_000;

export function mailTarget(options: {
  readonly server: MailServer;
  readonly from: string;
  readonly to: string;
  readonly on: NoticeTarget['on'];
}): NoticeTarget {
  const { server, from, to } = options;
  const name = `mail to ${to}`;
  const isLoopback = /^(?:localhost|127\.\d+\.\d+\.\d+|::1)$/.test(server.host);
  const settings: SMTPTransport.Options = {
    host: server.host,
    port: server.port,
    secure: server.secure,
    requireTLS: !server.secure && !isLoopback,
    // Nobody else reads it on the way, and such servers have certificates that they made themselves.
    ...(isLoopback && { tls: { rejectUnauthorized: false } }),
    ...(server.user !== undefined && { auth: { user: server.user, pass: server.password ?? '' } }),
    connectionTimeout: SLOWEST_MS,
    greetingTimeout: SLOWEST_MS,
    socketTimeout: SLOWEST_MS,
  };
  return {
    name,
    on: options.on,
    send: async (notice, signal) => {
      const transport = createTransport(settings);
      const close = (): void => transport.close();
      signal.addEventListener('abort', close);
      try {
        await transport.sendMail({ from, to, subject: headlineOf(notice), text: textOf(notice) });
      } catch (cause) {
        throw new Failure('notify.failed', `${name} was not taken by ${server.host} (${reasonOf(cause)})`);
      } finally {
        signal.removeEventListener('abort', close);
        transport.close();
      }
    },
  };
}

/** Codes alone: what the server says may repeat what it was told. */
function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return 'unknown';
  const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : cause.name;
  return 'responseCode' in cause && typeof cause.responseCode === 'number'
    ? `${code}, ${cause.responseCode}`
    : code;
}
