import type { Store } from '../storage/store.ts';

/**
 * Names of the folders right below a prefix that ends with `/`, in order: one request for each, whatever lies in
 * them, since a listing can begin behind a folder.
 */
export async function* listFolders(
  store: Store,
  prefix: string,
  options: { readonly signal: AbortSignal },
): AsyncGenerator<string> {
  let after: string | undefined;
  for (;;) {
    const folder = await nextFolder(store, prefix, { ...options, after });
    if (folder === undefined) return;
    yield folder;
    // `0` follows `/`.
    after = `${prefix}${folder}0`;
  }
}

async function nextFolder(
  store: Store,
  prefix: string,
  options: { readonly signal: AbortSignal; readonly after: string | undefined },
): Promise<string | undefined> {
  for await (const { key } of store.list(prefix, options)) {
    const [folder, ...rest] = key.slice(prefix.length).split('/');
    if (folder !== undefined && folder !== '' && rest.length > 0) return folder;
  }
  return undefined;
}
