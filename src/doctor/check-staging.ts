import { asFailure } from '../model/failure.ts';
import type { Finding } from '../model/finding.ts';
import { findStagingFolders, openStaging } from '../runtime/staging.ts';
import { ofFailure } from './check-source.ts';

/** Whether a staging folder can be used, and what killed runs left there in plaintext. */
export async function checkStaging(root: string): Promise<Finding[]> {
  try {
    const left = await findStagingFolders(root);
    await (await openStaging(root, { bytes: 0, what: 'a dump' }))[Symbol.asyncDispose]();
    return [
      { level: 'ok', check: 'staging', message: `${root} can be used` },
      ...left.map((folder): Finding => ({
        level: 'warning',
        check: 'staging.left_over',
        message: `${folder} holds plaintext of a dump`,
        remedy: 'if no snapshot or restore is under way, delete it',
      })),
    ];
  } catch (error) {
    return [ofFailure('staging', asFailure(error))];
  }
}
