import { once } from 'node:events';
import { Agent, createServer, request } from 'node:http';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Fault =
  | { readonly kind: 'pass' }
  /** The server does it; the client never hears. */
  | { readonly kind: 'drop-answer' }
  | { readonly kind: 'answer'; readonly status: number; readonly code: string; readonly afterMs?: number }
  /** The connection is reset after so many bytes of the answer's body. */
  | { readonly kind: 'reset-body'; readonly afterBytes: number }
  /** The connection ends cleanly after so many bytes of the answer's body. */
  | { readonly kind: 'cut-body'; readonly afterBytes: number }
  /** After so many bytes of the answer's body nothing comes any more; the connection stays. */
  | { readonly kind: 'stall-body'; readonly afterBytes: number }
  /** The request is never read nor answered; the connection stays. */
  | { readonly kind: 'stall' }
  | { readonly kind: 'refuse' };

export interface FaultProxy extends AsyncDisposable {
  readonly url: string;
  /** Decides for each request. */
  fault: (request: {
    readonly method: string;
    readonly url: string;
    readonly count: number;
    readonly headers: IncomingHttpHeaders;
  }) => Fault;
  readonly requests: string[];
  /** Of answers' bodies, passed on so far. */
  answeredBytes: number;
}

/** An HTTP proxy in front of a real S3 server that breaks as networks and stores break. Keeps Host, which is signed. */
export async function faultProxy(target: string): Promise<FaultProxy> {
  const to = new URL(target);
  const agent = new Agent({ keepAlive: true });
  const requests: string[] = [];
  const server = createServer((incoming, outgoing) => {
    const line = `${incoming.method} ${incoming.url}`;
    requests.push(line);
    const fault = proxy.fault({
      method: incoming.method ?? '',
      url: incoming.url ?? '',
      count: requests.length,
      headers: incoming.headers,
    });
    if (fault.kind === 'refuse') incoming.socket.resetAndDestroy();
    else if (fault.kind === 'stall') incoming.pause();
    else if (fault.kind === 'answer') {
      // Stores mostly answer when they have read the request; an earlier answer races with the body still being sent.
      incoming.resume();
      incoming.on('end', () => {
        setTimeout(() => {
          outgoing.writeHead(fault.status, { 'content-type': 'application/xml' });
          outgoing.end(
            `<?xml version="1.0"?><Error><Code>${fault.code}</Code><Message>made by the test</Message></Error>`,
          );
        }, fault.afterMs ?? 0);
      });
    } else
      forward({ incoming, outgoing, fault, to, agent, count: (bytes) => (proxy.answeredBytes += bytes) });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const proxy: FaultProxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    fault: () => ({ kind: 'pass' }),
    requests,
    answeredBytes: 0,
    [Symbol.asyncDispose]: async () => {
      agent.destroy();
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return proxy;
}

function forward(call: {
  incoming: IncomingMessage;
  outgoing: ServerResponse;
  fault: Fault;
  to: URL;
  agent: Agent;
  count: (bytes: number) => void;
}): void {
  const { incoming, outgoing, fault, to, agent, count } = call;
  const sent = request(
    {
      host: to.hostname,
      port: to.port,
      method: incoming.method,
      path: incoming.url,
      headers: incoming.headers,
      agent,
    },
    (answer) => {
      if (fault.kind === 'drop-answer') {
        answer.resume();
        answer.on('end', () => incoming.socket.resetAndDestroy());
        return;
      }
      outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.on('data', (chunk: Buffer) => count(chunk.length));
      if (!('afterBytes' in fault)) {
        answer.pipe(outgoing);
        return;
      }
      let left = fault.afterBytes;
      const passedAll = (): void => {
        if (left > 0 || fault.kind === 'stall-body') return;
        if (fault.kind === 'reset-body') incoming.socket.resetAndDestroy();
        else incoming.socket.end();
      };
      outgoing.flushHeaders();
      passedAll();
      answer.on('data', (chunk: Buffer) => {
        if (left <= 0) return;
        const passed = chunk.subarray(0, left);
        left -= passed.length;
        outgoing.write(passed, passedAll);
      });
      answer.on('end', () => {
        if (left > 0) outgoing.end();
      });
    },
  );
  sent.on('error', () => incoming.socket.destroy());
  incoming.pipe(sent);
}
