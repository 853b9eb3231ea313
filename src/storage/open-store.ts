import { fileURLToPath } from 'node:url';
import { Failure } from '../model/failure.ts';
import { createFolderStore } from './folder.ts';
import type { Store } from './store.ts';

export interface StoreSettings {
  /** A folder, `file:///…`, or `s3://bucket/prefix`. */
  readonly url: string;
}

/** Opens a store without touching it. Fails with `config.invalid` on a URL of no known kind. */
export function openStore(settings: StoreSettings): Store {
  const { url } = settings;
  if (url.startsWith('file://')) return createFolderStore({ root: fileURLToPath(url) });
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(url)?.[1];
  if (scheme === undefined) return createFolderStore({ root: url });
  throw new Failure('config.invalid', `no store for ${scheme}:// URLs`, {
    remedy: 'use a folder or s3://bucket/prefix',
  });
}
