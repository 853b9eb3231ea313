import { markSchema } from '../archive/stream-documents.ts';
import { writeMark } from '../capture/write-mark.ts';
import { captureNames } from '../model/capture-names.ts';
import { formatCommitTime } from '../model/commit-time.ts';
import { Failure } from '../model/failure.ts';
import { formatLsn } from '../model/lsn.ts';
import { connect } from '../postgres/connection.ts';
import type { Settings } from './settings.ts';

export interface Marked {
  readonly name: string;
  readonly source: string;
  readonly xid: string;
  readonly lsn: string;
  readonly time: string;
}

/** Writes a mark into the source. Needs no repository: whoever deploys may mark without access to the backups. */
export async function markJob(
  settings: Settings,
  options: { readonly name: string; readonly signal: AbortSignal },
): Promise<Marked> {
  const { name, signal } = options;
  if (!markSchema.shape.name.safeParse(name).success)
    throw new Failure('usage.invalid', 'the name of a mark has 1 to 200 characters');
  const source = settings.sourceName;
  await using session = await connect(settings.captureSource(), { side: 'source', job: 'mark', signal });
  const slotPrefix = captureNames(source, '').slot;
  const { xid, lsn, time } = await writeMark(session, { name, slotPrefix });
  return { name, source, xid: xid.toString(), lsn: formatLsn(lsn), time: formatCommitTime(time) };
}
