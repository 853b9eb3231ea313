import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openStore } from '../../src/storage/open-store.ts';
import type { TestS3 } from './s3.ts';
import { temporaryFolder } from './tidemark.ts';

const FORMAT = readFileSync(new URL('../../src/archive/FORMAT.md', import.meta.url), 'utf8');
/** The steps that FORMAT.md tells: make a key, verify, sign. */
const [MAKE_KEY = '', ...OTHER_STEPS] = [
  ...(/## Digests and signatures[\s\S]*?(?=\n## )/.exec(FORMAT)?.[0] ?? '').matchAll(/```sh\n([\s\S]*?)```/g),
].map((match) => match[1]);
export const [VERIFY = '', SIGN = ''] = OTHER_STEPS;

export const shell = (script: string, env: Record<string, string>): string =>
  execFileSync('sh', ['-eu', '-c', script], {
    env: { PATH: process.env['PATH'] ?? '', ...env },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });

/** A machine with a folder of its own: keys, configurations, and a repository to look behind. */
export async function signingCompany(source: string, bucket?: { readonly url: string; readonly s3: TestS3 }) {
  const folder = await temporaryFolder();
  const path = (name: string): string => join(folder.path, name);
  const repository =
    bucket === undefined ? path('backups') : { url: bucket.url, endpoint: bucket.s3.endpoint };
  const env: Record<string, string> =
    bucket === undefined
      ? {}
      : {
          AWS_ACCESS_KEY_ID: bucket.s3.accessKeyId,
          AWS_SECRET_ACCESS_KEY: bucket.s3.secretAccessKey,
        };
  return {
    path,
    store: await openStore(
      bucket === undefined ? { url: path('backups') } : { url: bucket.url, ...bucket.s3 },
    ),
    at: { env, cwd: folder.path },
    /** Makes a key as FORMAT.md says; what goes into `trust`. */
    newKey: (name: string): string => shell(MAKE_KEY, { KEY: path(name) }).trim(),
    /** Writes a configuration; the options that name it and the source. */
    configured: (name: string, settings: object): string[] => {
      writeFileSync(path(name), JSON.stringify({ repositories: { main: repository }, ...settings }));
      return ['-c', path(name), '--url', source];
    },
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}
