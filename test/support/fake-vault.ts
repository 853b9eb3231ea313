import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';

interface FakeVault extends AsyncDisposable {
  readonly url: string;
}

/**
 * As much of Vault's transit engine as Ceph asks of it for `x-amz-server-side-encryption: AES256`: named keys,
 * a data key wrapped by one of them, and its unwrapping. Keys live in memory.
 * https://developer.hashicorp.com/vault/api-docs/secret/transit
 */
export async function startFakeVault(): Promise<FakeVault> {
  const keys = new Map<string, Buffer>();
  const answerTo = (method: string, path: string, body: { ciphertext?: string }): object | undefined => {
    const [, action, name = ''] =
      /^\/v1\/transit\/(keys|datakey\/plaintext|decrypt)\/([^/?]+)/.exec(path) ?? [];
    if (action === 'keys') {
      if (method === 'DELETE') keys.delete(name);
      else if (!keys.has(name)) keys.set(name, randomBytes(32));
      return {};
    }
    const key = keys.get(name);
    if (key === undefined) return undefined;
    if (action === 'decrypt') return { plaintext: unwrap(key, body.ciphertext ?? '').toString('base64') };
    const plain = randomBytes(32);
    return { plaintext: plain.toString('base64'), ciphertext: wrap(key, plain) };
  };
  const server = createServer((request, response) => {
    const reply = async (): Promise<void> => {
      const sent = Number(request.headers['content-length'] ?? 0) > 0 ? await json(request) : {};
      const data = answerTo(request.method ?? '', request.url ?? '', sent as { ciphertext?: string });
      response.writeHead(data === undefined ? 404 : 200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(data === undefined ? { errors: ['no such key'] } : { data }));
    };
    reply().catch((error: unknown) => response.destroy(error instanceof Error ? error : undefined));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

function wrap(key: Buffer, plain: Buffer): string {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  const sealed = Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  return `vault:v1:${sealed.toString('base64')}`;
}

function unwrap(key: Buffer, text: string): Buffer {
  const sealed = Buffer.from(text.replace(/^vault:v\d+:/, ''), 'base64');
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, 12));
  decipher.setAuthTag(sealed.subarray(-16));
  return Buffer.concat([decipher.update(sealed.subarray(12, -16)), decipher.final()]);
}
