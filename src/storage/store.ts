/**
 * The contract of every object store (folder, S3 and its GCS dialect, memory). One suite proves it for each:
 * test/contract/store-suite.ts.
 *
 * - Keys are `/`-separated ASCII names chosen by us; a store refuses one that would leave its root.
 * - An object is visible whole or not at all. A put that fails or is aborted leaves nothing that counts.
 * - Nothing is ever overwritten, except by `replace`, which only `leases/` may use.
 * - A put whose answer was lost and is tried again ends as `same`, not as an error.
 * - Errors are `Failure`s with a `repository.*` code; `AbortSignal` ends every call with `interrupted`.
 * - A store that is away for a while is waited for by its driver (s3-retries.ts), which alone can send the parts of
 *   a stream again; nobody above retries single calls.
 */
export interface Store {
  /** For people and logs: never with credentials. */
  readonly location: string;
  readonly capabilities: StoreCapabilities;

  /**
   * Writes an object of unknown length unless the key exists. `differs` means that another object holds the
   * key; it stays as it is. The body is read once; a chunk of it is valid until the next one is asked for.
   */
  putIfAbsent(key: string, body: PutBody, options: PutOptions): Promise<PutResult>;

  /** A whole object or a byte range of it. Fails with `repository.object_missing`. */
  get(key: string, options: GetOptions): Promise<AsyncIterable<Uint8Array>>;

  /** Undefined when there is no such object. */
  stat(key: string, options: CallOptions): Promise<ObjectStat | undefined>;

  /** All objects below a prefix, in the order of their keys' bytes; some thousand for a request. */
  list(prefix: string, options: ListOptions): AsyncIterable<ObjectStat>;

  /** No error when the key is absent. */
  delete(key: string, options: CallOptions): Promise<void>;

  /** Puts below a prefix that have not ended: under way, or left by a kill. Each takes room, and no listing shows it. */
  openPuts(prefix: string, options: CallOptions): AsyncIterable<OpenPut>;

  /** Ends an open put for good. No error when it has ended. */
  abandon(put: OpenPut, options: CallOptions): Promise<void>;

  /** Writes or overwrites a small object. Only for keys that contain `leases/`. */
  replace(key: string, body: Uint8Array, options: CallOptions): Promise<void>;

  close(): Promise<void>;
}

export type PutBody = Uint8Array | AsyncIterable<Uint8Array>;

export interface CallOptions {
  readonly signal: AbortSignal;
}

export interface PutOptions extends CallOptions {
  /** `application/octet-stream` when absent. */
  readonly contentType?: string;
}

export interface GetOptions extends CallOptions {
  readonly range?: { readonly offset: number; readonly length: number };
}

export interface ListOptions extends CallOptions {
  /** Only keys that come after this one; it need not exist. What comes before costs nothing. */
  readonly after?: string | undefined;
}

export interface PutResult {
  readonly outcome: 'created' | 'same' | 'differs';
  /** Of the body that was given. */
  readonly sizeBytes: number;
  /** Lower-case hex, of the body that was given. */
  readonly sha256: string;
}

export interface ObjectStat {
  readonly key: string;
  readonly sizeBytes: number;
  readonly modified: Date;
  /** Only from `stat`: until then the store itself lets nobody remove it. */
  readonly lockedUntil?: Date | undefined;
}

export interface OpenPut {
  /** What it would become, or, where that is not known, where it lies. */
  readonly key: string;
  readonly id: string;
  /** When it began, or was last written to: by the store's clock. */
  readonly since: Date;
}

interface StoreCapabilities {
  /** The store itself refuses a second put of a key. Without it, unique ids and a look before keep promise P2. */
  readonly conditionalPut: boolean;
  /** New objects are kept by the store itself: nobody can remove them for as long as the settings say. */
  readonly objectLock: boolean;
  /** `replace` is seen whole or not at all. */
  readonly atomicReplace: boolean;
}
