import { keys } from '../catalog/keys.ts';
import { connect } from '../postgres/connection.ts';
import type { ConnectionSettings } from '../postgres/connection-settings.ts';
import { sqlFile } from '../postgres/sql-file.ts';
import type { Speed } from './estimate.ts';
import { isInPlace } from './request.ts';
import type { RestoreRequest } from './request.ts';

/** In sql/target/speed.sql. */
const DIGESTS = 200_000;
const READ_BYTES = 8 * 1024 * 1024;

/** Measures target and repository for a second or two. Writes nothing. `on` names a database that is there. */
export async function measureSpeed(request: RestoreRequest, on: ConnectionSettings): Promise<Speed> {
  const dump = request.manifest.engine === 'pg_dump';
  const isSingle = isInPlace(request) || (dump && request.staging === undefined);
  const connections = isSingle ? 1 : Math.max(1, request.jobs);
  return {
    digestsPerSecond: await measureTarget(request, { on, connections }),
    connections,
    repository: await measureRepository(request),
  };
}

async function measureTarget(
  { signal }: RestoreRequest,
  how: { readonly on: ConnectionSettings; readonly connections: number },
): Promise<number> {
  await using open = new AsyncDisposableStack();
  const sessions = [];
  for (let count = 0; count < how.connections; count += 1)
    sessions.push(open.use(await connect(how.on, { side: 'target', job: 'restore', signal })));
  const started = performance.now();
  await Promise.all(sessions.map((session) => session.query(sqlFile('target/speed'))));
  return (1000 * DIGESTS * how.connections) / (performance.now() - started);
}

async function measureRepository({
  repository,
  manifest,
  signal,
}: RestoreRequest): Promise<Speed['repository']> {
  const full = manifest.parts.filter((part) => part.role.startsWith('full-'));
  const objects = [...manifest.archives.map((archive) => archive.data), ...full];
  const [largest] = objects.sort((a, b) => b.sizeBytes - a.sizeBytes);
  if (largest === undefined || largest.sizeBytes === 0) return undefined;
  const length = Math.min(READ_BYTES, largest.sizeBytes);
  const key = keys.snapshotObject(manifest.source, manifest.id, largest.name);
  const started = performance.now();
  let bytes = 0;
  for await (const chunk of await repository.store.get(key, { signal, range: { offset: 0, length } }))
    bytes += chunk.length;
  return { bytes, bytesPerSecond: (1000 * bytes) / (performance.now() - started) };
}
