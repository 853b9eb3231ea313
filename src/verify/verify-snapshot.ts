import type { Opener } from '../archive/age.ts';
import { streamCheck } from '../archive/copy-stream-check.ts';
import { checked } from '../archive/digest.ts';
import type { Manifest, StoredObject } from '../archive/manifest.ts';
import { keys } from '../catalog/keys.ts';
import { readSource } from '../catalog/repository.ts';
import { readMemberIndex } from '../catalog/member-index.ts';
import type { StoredRange } from '../catalog/member-index.ts';
import { readPart } from '../catalog/read-part.ts';
import { readRange } from '../catalog/read-range.ts';
import type { Repository } from '../catalog/repository.ts';
import { Failure, throwIfAborted } from '../model/failure.ts';
import type { Finding } from '../model/finding.ts';
import { digestOf } from '../storage/store-rules.ts';
import { foundBy } from './found-by.ts';

export interface VerifyOptions {
  /** Also decrypt, decompress and count the rows of every range. Needs the private key of an encrypted snapshot. */
  readonly deep: boolean;
  readonly opener: Opener | undefined;
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
  readonly signal: AbortSignal;
}

export interface VerifyReport {
  readonly snapshot: string;
  readonly objects: number;
  readonly bytes: number;
  /** Only with `deep`. */
  readonly rows: bigint;
  /** Empty: everything is as it was stored. */
  readonly findings: readonly Finding[];
}

/**
 * Reads every object of a snapshot and compares sizes and digests with the manifest, then the lists with each
 * other, the reference to the snapshot before, and the signature of what the source was (the manifest's own was
 * checked when it was read). All that is wrong is found, not only the first. A store that
 * can't be reached is no finding: it fails.
 */
export async function verifySnapshot(
  repository: Repository,
  manifest: Manifest,
  options: VerifyOptions,
): Promise<VerifyReport> {
  const objects = [
    ...manifest.parts,
    ...manifest.archives.flatMap((archive) => [archive.data, archive.members]),
  ];
  if (objects.length === 0) throw new Failure('check.empty', `snapshot ${manifest.id} has no objects`);
  const totalBytes = objects.reduce((sum, object) => sum + object.sizeBytes, 0) * (options.deep ? 2 : 1);
  const run = new Run(repository, manifest, { ...options, totalBytes });
  for (const object of objects) await run.find(object.name, () => run.readObject(object));
  const index = await run.find('member lists', () => readMemberIndex(repository, manifest, options));
  await run.find('previous snapshot', () => run.comparePrevious());
  await run.find('source', () => readSource(repository, manifest.source, options));
  if (options.deep) {
    for (const part of manifest.parts) await run.find(part.name, () => run.openPart(part));
    for (const range of [...(index?.values() ?? [])].flat())
      await run.find(rangeName(range), () => run.countRange(range));
  }
  return {
    snapshot: manifest.id,
    objects: objects.length,
    bytes: run.bytes,
    rows: run.rows,
    findings: run.findings,
  };
}

class Run {
  readonly findings: Finding[] = [];
  bytes = 0;
  rows = 0n;
  readonly #repository: Repository;
  readonly #manifest: Manifest;
  readonly #options: VerifyOptions & { readonly totalBytes: number };

  constructor(
    repository: Repository,
    manifest: Manifest,
    options: VerifyOptions & { readonly totalBytes: number },
  ) {
    this.#repository = repository;
    this.#manifest = manifest;
    this.#options = options;
  }

  find<T>(what: string, look: () => Promise<T>): Promise<T | undefined> {
    throwIfAborted(this.#options.signal);
    return foundBy(what, look, this.findings);
  }

  async readObject(object: StoredObject): Promise<void> {
    const key = keys.snapshotObject(this.#manifest.source, this.#manifest.id, object.name);
    const stored = await this.#repository.store.stat(key, this.#options);
    if (stored === undefined) throw new Failure('repository.object_missing', `${key} is not there`);
    if (stored.sizeBytes !== object.sizeBytes) {
      const code = stored.sizeBytes < object.sizeBytes ? 'integrity.truncated' : 'integrity.digest';
      throw new Failure(code, `${key} has ${stored.sizeBytes} bytes, ${object.sizeBytes} were stored`);
    }
    for await (const chunk of checked(await this.#repository.store.get(key, this.#options), {
      ...object,
      key,
    }))
      this.#count(chunk);
  }

  /** Promise: what came before has not been replaced. Gone is fine: retention removes the oldest first. */
  async comparePrevious(): Promise<void> {
    const { previous, source } = this.#manifest;
    if (previous === undefined) return;
    const { store } = this.#repository;
    const key = keys.manifest(source, previous.id);
    if ((await store.stat(key, this.#options)) === undefined) return;
    const before = await digestOf(await store.get(key, this.#options));
    if (before.sha256 !== previous.manifestSha256) {
      throw new Failure(
        'integrity.digest',
        `the manifest of ${previous.id} is not the one that was there before this snapshot`,
      );
    }
  }

  async openPart(part: Manifest['parts'][number]): Promise<void> {
    const { opener, signal } = this.#options;
    const at = { repository: this.#repository, manifest: this.#manifest, part };
    const plain = readPart(at, { opener, proof: 'last', signal });
    for await (const chunk of plain) this.#count(chunk);
  }

  async countRange(range: StoredRange): Promise<void> {
    const { store } = this.#repository;
    const { compression, copyFormat, source, id, encryptedTo } = this.#manifest;
    if (encryptedTo.length > 0 && this.#options.opener === undefined)
      throw new Failure('key.missing', 'the snapshot is encrypted');
    const check = streamCheck(copyFormat);
    const how = {
      store,
      keyOf: (name: string) => keys.snapshotObject(source, id, name),
      compression,
      opener: encryptedTo.length > 0 ? this.#options.opener : undefined,
      signal: this.#options.signal,
    };
    for await (const chunk of readRange(range, how)) check.see(chunk);
    check.finish(range.rows);
    this.rows += range.rows;
    this.#count({ length: range.storedBytes });
  }

  #count(chunk: { readonly length: number }): void {
    this.bytes += chunk.length;
    this.#options.onProgress(this.bytes, this.#options.totalBytes);
  }
}

function rangeName(range: StoredRange): string {
  return `table ${range.table}, range ${range.range}`;
}
