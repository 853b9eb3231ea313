/** Where things lie in a repository (DESIGN §4). Relative to the store's own root. */
export const keys = {
  repository: 'repository.json',
  identity: 'keys/identity.age',
  source: (source: string): string => `sources/${source}/source.json`,
  snapshots: (source: string): string => `sources/${source}/snapshots/`,
  snapshot: (source: string, id: string): string => `sources/${source}/snapshots/${id}/`,
  manifest: (source: string, id: string): string => `sources/${source}/snapshots/${id}/manifest.json`,
  snapshotObject: (source: string, id: string, name: string): string =>
    `sources/${source}/snapshots/${id}/${name}`,
  /** Of a document: Ed25519 over its exact bytes. */
  signature: (key: string): string => `${key}.sig`,
  streams: (source: string): string => `sources/${source}/streams/`,
  stream: (source: string, id: string): string => `sources/${source}/streams/${id}/`,
  streamDocument: (source: string, id: string): string => `sources/${source}/streams/${id}/stream.json`,
  /** A segment, part or chapter by the name that `stream-names.ts` gives it. */
  streamObject: (source: string, id: string, name: string): string =>
    `sources/${source}/streams/${id}/${name}`,
  gaps: (source: string): string => `sources/${source}/gaps/`,
  gap: (source: string, id: string): string => `sources/${source}/gaps/${id}.json`,
  marks: (source: string): string => `sources/${source}/marks/`,
  mark: (source: string, id: string): string => `sources/${source}/marks/${id}.json`,
  drills: (source: string): string => `sources/${source}/drills/`,
  drillObject: (source: string, name: string): string => `sources/${source}/drills/${name}`,
  witnesses: (source: string): string => `sources/${source}/witnesses/`,
  witness: (source: string, id: string): string => `sources/${source}/witnesses/${id}.json`,
  /** A witness's digests, by the name that its document gives them. */
  witnessObject: (source: string, name: string): string => `sources/${source}/witnesses/${name}`,
  schedules: (source: string): string => `sources/${source}/jobs/`,
  /** What a schedule has done. */
  jobs: ({ source, schedule }: JobFolder): string => `sources/${source}/jobs/${schedule}/`,
  jobBegun: (at: JobFolder, id: string): string => `${keys.jobs(at)}${id}.begun.json`,
  jobEnded: (at: JobFolder, id: string): string => `${keys.jobs(at)}${id}.ended.json`,
  cuts: (source: string, id: string): string => `sources/${source}/streams/${id}/cuts/`,
  cut: (source: string, id: string, position: string): string =>
    `sources/${source}/streams/${id}/cuts/${position}.json`,
  restoreLeases: (source: string): string => `leases/restore-${source}-`,
  restoreLease: (source: string, id: string): string => `leases/restore-${source}-${id}.json`,
  pruneMark: (source: string): string => `leases/prune-${source}.json`,
  clock: (id: string): string => `leases/clock-${id}`,
} as const;

/** Which schedule of which source. */
export interface JobFolder {
  readonly source: string;
  readonly schedule: string;
}

const MANIFEST_KEY = /^sources\/([a-z0-9][a-z0-9_-]{0,30})\/snapshots\/([0-9A-Za-z-]+)\/manifest\.json$/;

/** The source and snapshot that a manifest's key names; undefined for any other key. */
export function parseManifestKey(key: string): { source: string; id: string } | undefined {
  const match = MANIFEST_KEY.exec(key);
  return match?.[1] === undefined || match[2] === undefined ? undefined : { source: match[1], id: match[2] };
}
