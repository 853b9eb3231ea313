import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

export interface TcpProxy extends AsyncDisposable {
  readonly port: number;
  /** From now on nothing is passed on, in either direction, on any connection, old or new; none is closed. */
  silence(): void;
  /** From now on whatever the server says arrives as zeros. */
  mangle(): void;
}

/** A network between a client and a server on this machine, which can go silent as networks and poolers do. */
export async function tcpProxy(port: number): Promise<TcpProxy> {
  let silent = false;
  let mangled = false;
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on('data', (chunk: Buffer) => {
        if (silent) return;
        if (mangled && from === far) chunk.fill(0);
        if (to.write(chunk)) return;
        from.pause();
        to.once('drain', () => from.resume());
      });
      from.on('end', () => silent || to.end());
      from.on('error', () => to.destroy());
      from.on('close', () => sockets.delete(from));
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    silence: () => (silent = true),
    mangle: () => (mangled = true),
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
