import { Failure } from '../model/failure.ts';
import { RUN_DOCUMENT, RUN_SIGNATURE, parseRunDocument } from './run-document.ts';
import type { RunDocument } from './run-document.ts';
import { SIGNATURE_BYTES, assertSigned } from './signature.ts';
import type { Trust } from './signature.ts';
import { TAR_BLOCK_BYTES } from './tar-reader.ts';
import type { TarReader } from './tar-reader.ts';

/** A run's facts are a few KiB; those of a transaction of a terabyte stay below. Guards allocation. */
export const MAX_FACTS_BYTES = 64 * 1024 * 1024;

export interface RunHead {
  readonly run: RunDocument;
  /** Members as stored, the run's `segment.json` last: for a merge. */
  readonly members: readonly { readonly name: string; readonly bytes: Buffer }[];
}

/**
 * What the `number`th run of an archive says of itself, at the place where it must be; undefined at the archive's end.
 * With `trust` its signature is checked before its bytes are looked at. Fails with `integrity.*`.
 */
export async function readRunHead(
  tar: TarReader,
  number: number,
  options: { readonly object: string; readonly trust: Trust | undefined },
): Promise<RunHead | undefined> {
  let entry = await tar.next();
  if (entry === undefined) return undefined;
  const name = `${options.object}, ${number}/${RUN_DOCUMENT}`;
  let signature: Buffer | undefined;
  if (entry.name === `${number}/${RUN_SIGNATURE}` && entry.sizeBytes === SIGNATURE_BYTES) {
    signature = await tar.content();
    entry = await tar.next();
  }
  if (entry?.name !== `${number}/${RUN_DOCUMENT}` || entry.sizeBytes > MAX_FACTS_BYTES) {
    throw new Failure('integrity.format', `${name} is not where it must be`, {
      facts: { object: options.object },
    });
  }
  const bytes = await tar.content();
  if (options.trust !== undefined) assertSigned({ name, bytes, signature }, options.trust);
  const document = { name: RUN_DOCUMENT, bytes };
  return {
    run: parseRunDocument(bytes, name),
    members: signature === undefined ? [document] : [{ name: RUN_SIGNATURE, bytes: signature }, document],
  };
}

/** What a run takes in its archive: its members with their headers, in whole blocks. */
export function runSizeBytes({ run, members }: RunHead): number {
  return (
    members.reduce((sum, { bytes }) => sum + padded(bytes.length), 0) +
    run.facts.members.reduce((sum, { sizeBytes }) => sum + padded(sizeBytes), 0)
  );
}

function padded(sizeBytes: number): number {
  return TAR_BLOCK_BYTES + Math.ceil(sizeBytes / TAR_BLOCK_BYTES) * TAR_BLOCK_BYTES;
}
