import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SMTPServer } from 'smtp-server';
import { until } from './until.ts';

/** A mail server on loopback: STARTTLS with a certificate of its own, and a password. */
export async function mailServer(user: string, password: string) {
  const mails: string[] = [];
  const server = new SMTPServer({
    onAuth: (auth, session, done) => {
      const isGood = auth.username === user && auth.password === password && session.secure;
      if (isGood) done(null, { user });
      else done(new Error('no'));
    },
    onData: (stream, _session, done) => {
      const chunks: Buffer[] = [];
      stream.on('data', (bytes: Buffer) => chunks.push(bytes));
      stream.on('end', () => {
        mails.push(Buffer.concat(chunks).toString('utf8'));
        done();
      });
    },
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  return {
    port: (server.server.address() as AddressInfo).port,
    /** As they came, in order. */
    mails,
    got: (subject: string) => until(() => mails.some((mail) => mail.includes(`Subject: ${subject}`))),
    [Symbol.asyncDispose]: () => new Promise<void>((closed) => server.close(() => closed())),
  };
}

/** Takes whatever is posted. */
export async function webhookReceiver() {
  const bodies: Record<string, unknown>[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (bytes: Buffer) => chunks.push(bytes));
    request.on('end', () => {
      bodies.push(JSON.parse(Buffer.concat(chunks).toString('utf8')) as Record<string, unknown>);
      response.end();
    });
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/secret-path`,
    bodies,
    /** What it was told of a subject, in order. */
    kinds: (subject: string) =>
      bodies
        .filter((body) => body['subject'] === subject)
        .map((body) => `${String(body['kind'])} ${String(body['code'])}`),
    [Symbol.asyncDispose]: () => new Promise<void>((closed) => server.close(() => closed())),
  };
}
