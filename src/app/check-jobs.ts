import type { Manifest } from '../archive/manifest.ts';
import { findRepository } from '../catalog/repository.ts';
import { listSnapshotFolders } from '../catalog/snapshots.ts';
import { listStreams } from '../catalog/streams.ts';
import { checkCapture } from '../doctor/check-capture.ts';
import { checkRepository } from '../doctor/check-repository.ts';
import { checkSource } from '../doctor/check-source.ts';
import { checkStaging } from '../doctor/check-staging.ts';
import { captureNames } from '../model/capture-names.ts';
import { Failure } from '../model/failure.ts';
import type { Finding } from '../model/finding.ts';
import { chooseSnapshot } from '../recovery/choose-snapshot.ts';
import { parseRecoveryTarget } from '../recovery/target.ts';
import { verifySnapshot } from '../verify/verify-snapshot.ts';
import type { VerifyReport } from '../verify/verify-snapshot.ts';
import { verifyStream } from '../verify/verify-stream.ts';
import type { StreamReport } from '../verify/verify-stream.ts';
import type { Store } from '../storage/store.ts';
import { authenticManifest, withRepository } from './list-job.ts';
import type { Settings } from './settings.ts';
import { exposedSigningKey } from './signing-keys.ts';

/** Verifies one snapshot, or all of the source. A repository without any fails with `check.empty`. */
export async function verifyJob(
  settings: Settings,
  options: {
    readonly target: string | undefined;
    readonly deep: boolean;
    readonly onSnapshot: (id: string) => void;
    readonly onProgress: (doneBytes: number, totalBytes: number) => void;
    readonly signal: AbortSignal;
  },
): Promise<{ readonly reports: VerifyReport[]; readonly streams: StreamReport[] }> {
  const { signal } = options;
  return withRepository(settings, signal, async (repository) => {
    const source = settings.sourceName;
    const manifests: Manifest[] = [];
    const reports: VerifyReport[] = [];
    if (options.target !== undefined) {
      manifests.push(
        await chooseSnapshot(repository, { source, target: parseRecoveryTarget(options.target), signal }),
      );
    } else {
      const folders = await listSnapshotFolders(repository, { source, signal });
      for (const folder of folders.filter((candidate) => candidate.complete)) {
        const found = await authenticManifest(repository, folder, signal);
        if (found.manifest !== undefined) manifests.push(found.manifest);
        else reports.push(refusedReport(folder.id, found.refusal));
      }
    }
    const streams = options.target === undefined ? await listStreams(repository, { source, signal }) : [];
    if (manifests.length + reports.length + streams.length === 0)
      throw new Failure(
        'check.empty',
        `no snapshot or stream of source ${source} to verify in ${repository.store.location}`,
      );
    const isKeyed = streams.length > 0 || manifests.some((manifest) => manifest.encryptedTo.length > 0);
    const opener = options.deep && isKeyed ? await settings.opener() : undefined;
    for (const manifest of manifests) {
      options.onSnapshot(manifest.id);
      reports.push(await verifySnapshot(repository, manifest, { ...options, opener }));
    }
    const verified: StreamReport[] = [];
    for (const stream of streams) {
      options.onSnapshot(`stream ${stream}`);
      verified.push(await verifyStream(repository, { source, stream }, { ...options, opener }));
    }
    return { reports, streams: verified };
  });
}

function refusedReport(snapshot: string, refusal: Failure): VerifyReport {
  const { code: check, message, remedy } = refusal;
  return { snapshot, objects: 0, bytes: 0, rows: 0n, findings: [{ level: 'error', check, message, remedy }] };
}

/** Findings about source and repository, as far as they are configured. */
export async function doctorJob(
  settings: Settings,
  options: { readonly staging: string | undefined; readonly signal: AbortSignal },
): Promise<Finding[]> {
  const { signal, staging = settings.config.staging } = options;
  const source = settings.findSource();
  const findings: Finding[] = [];
  if (source === undefined)
    findings.push({
      level: 'warning',
      check: 'source',
      message: 'none is configured',
      remedy: 'pass --url or set DATABASE_URL',
    });
  else
    findings.push(...(await checkSource({ settings: source, tools: await settings.tools(signal), signal })));
  if (staging !== undefined) findings.push(...(await checkStaging(staging)));
  const store = await settings.findStore();
  if (store === undefined) {
    findings.push({
      level: 'warning',
      check: 'repository',
      message: 'none is configured',
      remedy: 'pass --repository',
    });
    return findings;
  }
  try {
    const opener = await settings.opener();
    const fingerprints = settings.sealer()?.fingerprints ?? [];
    const identityFingerprints = opener?.fingerprints;
    const signing = { signer: await settings.signer(), trust: settings.trust() };
    const exposed = await exposedSigningKey(settings.config);
    if (exposed !== undefined) findings.push(exposed);
    findings.push(
      ...(await checkRepository({ store, fingerprints, identityFingerprints, ...signing, signal })),
    );
    if (source !== undefined) findings.push(...(await captureChecks(settings, store, signal)));
  } finally {
    await store.close();
  }
  return findings;
}

/** The slot is named after the repository: without one, nothing can be said about capture. */
async function captureChecks(settings: Settings, store: Store, signal: AbortSignal): Promise<Finding[]> {
  // What is wrong with the repository has been said by its own check.
  const reading = { signer: undefined, trust: settings.trust(), signal };
  const found = await findRepository(store, reading).catch(() => undefined);
  if (found === undefined) return [];
  const names = captureNames(settings.sourceName, found.document.repositoryId);
  return checkCapture({ settings: settings.captureSource(), names, signal });
}
