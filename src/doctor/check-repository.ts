import { randomCharacters } from '../catalog/ids.ts';
import { checkRecipients, openRepository } from '../catalog/repository.ts';
import type { Signing } from '../catalog/signatures.ts';
import { listSnapshotFolders } from '../catalog/snapshots.ts';
import { Failure, asFailure } from '../model/failure.ts';
import type { Finding } from '../model/finding.ts';
import { formatBytes } from '../model/quantities.ts';
import type { Store } from '../storage/store.ts';
import { ofFailure } from './check-source.ts';

interface RepositoryChecks extends Signing {
  readonly store: Store;
  /** Of the configured recipients; empty without encryption. */
  readonly fingerprints: readonly string[];
  /** Of the private keys at hand; undefined: none is named. */
  readonly identityFingerprints: readonly string[] | undefined;
  readonly signal: AbortSignal;
}

/** What stands between a repository and a good snapshot. Writes one small object below `leases/` and removes it. */
export async function checkRepository(checks: RepositoryChecks): Promise<Finding[]> {
  const { store } = checks;
  const findings = [await writable(checks)];
  if (!store.capabilities.conditionalPut) {
    findings.push({
      level: 'info',
      check: 'repository.conditional_put',
      message: 'the store can’t refuse a second put; unique names guard instead',
    });
  }
  try {
    const repository = await openRepository(store, checks);
    findings.push({
      level: 'ok',
      check: 'repository',
      message: `${store.location}, made ${repository.document.createdAt}`,
    });
    checkRecipients(repository, checks.fingerprints);
    findings.push(...keyFindings(checks), authenticityFinding(checks));
    for (const folder of await listSnapshotFolders(repository, checks)) {
      if (folder.complete) continue;
      findings.push({
        level: 'warning',
        check: 'repository.unfinished',
        message: `${folder.id} of ${folder.source} has no manifest: ${formatBytes(folder.storedBytes)} left by a run that did not end`,
        remedy:
          'if no snapshot is being taken now, delete its folder, or let tidemark prune do it; it never counted',
      });
    }
    findings.push(...(await uploadFindings(checks)));
  } catch (error) {
    const failure = asFailure(error);
    const fresh = failure.code === 'repository.not_found' && failure.message.startsWith('no repository at');
    findings.push(
      fresh
        ? {
            level: 'info',
            check: 'repository',
            message: `none yet at ${store.location}; the first snapshot makes it`,
          }
        : ofFailure('repository', failure),
    );
  }
  return findings;
}

/** Younger ones may be under way. */
const UPLOAD_MS = 86_400_000;

/** A role that may not list uploads may still take snapshots. */
async function uploadFindings({ store, signal }: RepositoryChecks): Promise<Finding[]> {
  const check = 'repository.uploads';
  try {
    const found = await Array.fromAsync(store.openPuts('sources/', { signal }));
    const old = found.filter(({ since }) => Date.now() - since.getTime() > UPLOAD_MS);
    if (old.length === 0) return [];
    const message = `${old.length} upload(s) that did not end take room, the first of ${old[0]?.key ?? ''}`;
    const remedy = 'tidemark prune --apply ends those that are a week old';
    return [{ level: 'warning', check, message, remedy }];
  } catch (error) {
    const { code, message } = asFailure(error);
    if (code !== 'repository.permission' && code !== 'repository.error') throw error;
    return [{ level: 'info', check, message: `uploads that did not end can’t be listed: ${message}` }];
  }
}

async function writable({ store, signal }: RepositoryChecks): Promise<Finding> {
  const key = `leases/doctor-${randomCharacters(8)}`;
  try {
    await store.replace(key, Buffer.from('doctor'), { signal });
    const found = await store.stat(key, { signal });
    await store.delete(key, { signal });
    if (found === undefined) throw new Failure('repository.error', 'what was written can’t be read back');
    return { level: 'ok', check: 'repository.writable', message: 'an object was written, seen and removed' };
  } catch (error) {
    return ofFailure('repository.writable', asFailure(error));
  }
}

function keyFindings({ fingerprints, identityFingerprints }: RepositoryChecks): Finding[] {
  if (fingerprints.length === 0) {
    return [
      { level: 'info', check: 'encryption', message: 'off: who can read the repository can read the rows' },
    ];
  }
  if (identityFingerprints === undefined) {
    return [
      {
        level: 'info',
        check: 'encryption',
        message: `on, ${fingerprints.length} recipient(s); no private key here, so nothing can be restored from this machine`,
      },
    ];
  }
  const fits = identityFingerprints.some((fingerprint) => fingerprints.includes(fingerprint));
  return [
    fits
      ? {
          level: 'ok',
          check: 'encryption',
          message: `on, ${fingerprints.length} recipient(s), and the private key here fits`,
        }
      : {
          level: 'error',
          check: 'encryption',
          message: 'the private key here fits none of the recipients',
          remedy: 'name the right identity file',
        },
  ];
}

function authenticityFinding({ signer, trust }: Signing): Finding {
  const check = 'authenticity';
  const asked = trust === undefined ? '' : `signatures of ${trust.publicKeys.length} key(s) are asked for`;
  if (signer === undefined) {
    const message =
      trust === undefined
        ? 'off: who can write the repository can write false snapshots'
        : `${asked}; nothing is signed from this machine, so none can be taken`;
    return { level: 'info', check, message };
  }
  if (trust === undefined) {
    const message = `snapshots are signed, and nothing is checked until trust holds ${signer.publicKey}`;
    return { level: 'info', check, message };
  }
  if (trust.publicKeys.includes(signer.publicKey)) {
    return { level: 'ok', check, message: `snapshots are signed, and ${asked}` };
  }
  return {
    level: 'error',
    check,
    message: 'the signing key is not in trust: no snapshot can be taken',
    remedy: `add ${signer.publicKey} to trust`,
  };
}
