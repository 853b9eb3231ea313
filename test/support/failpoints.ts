import { expect } from 'vitest';
import { openRepository } from '../../src/catalog/repository.ts';
import { listSnapshotFolders } from '../../src/catalog/snapshots.ts';
import type { Failpoint } from '../../src/runtime/failpoints.ts';
import { openStore } from '../../src/storage/open-store.ts';
import type { StoreSettings } from '../../src/storage/open-store.ts';
import { rows } from './postgres.ts';
import { hasChildren, reached, start } from './tidemark.ts';
import { until } from './until.ts';

/** All failpoints of one kind: `Of<'snapshot'>`. */
export type Of<Kind extends string> = Extract<Failpoint, `${Kind}.${string}`>;

interface At {
  readonly point: Failpoint;
  /** Which time the command comes by; the first when absent. */
  readonly time?: number;
  readonly args: readonly string[];
  readonly env?: Record<string, string>;
  readonly cwd?: string;
}

/** Runs a command that is killed with -9 at a point. Fails when it did not come by. */
export async function killedAt({ point, time = 1, args, env, cwd }: At): Promise<void> {
  const armed = { ...env, TIDEMARK_FAILPOINTS: `${point}=kill@${time}` };
  const { signal, stderr } = await start(args, { env: armed, ...(cwd !== undefined && { cwd }) });
  if (signal !== 'SIGKILL') throw new Error(`${point} was not reached: ${stderr}`);
}

/** Runs a command that gets ^C at a point, and leaves no process behind; its exit code. */
export async function interruptedAt({ point, time = 1, args, env, cwd }: At): Promise<number | undefined> {
  const armed = { ...env, TIDEMARK_FAILPOINTS: `${point}=pause@${time}` };
  const running = start(args, { env: armed, detached: true, ...(cwd !== undefined && { cwd }) });
  await reached(running, point);
  running.kill('SIGINT');
  const { exitCode, stderr } = await running;
  expect(stderr).not.toContain('internal');
  // pg_dumpall asks pg_dump for its version, which may outlive it for a moment.
  await until(() => !hasChildren(running));
  return exitCode;
}

/** Waits until no session of a snapshot or restore is left on a server; it has no slot or prepared transaction. */
export async function serverIsFree(url: string): Promise<void> {
  await until(async () => {
    const left = await rows(
      url,
      `SELECT application_name FROM pg_stat_activity WHERE application_name ~ '^tidemark (snapshot|restore)'
       UNION ALL SELECT slot_name FROM pg_replication_slots UNION ALL SELECT gid FROM pg_prepared_xacts`,
    );
    return left.length === 0;
  });
}

/** How many snapshots a repository has, and folders that never became one. */
export async function counted(settings: StoreSettings): Promise<{ snapshots: number; unfinished: number }> {
  const store = await openStore(settings);
  const { signal } = new AbortController();
  const repository = await openRepository(store, { signer: undefined, trust: undefined, signal });
  const folders = await listSnapshotFolders(repository, { signal });
  await store.close();
  const snapshots = folders.filter((folder) => folder.complete).length;
  return { snapshots, unfinished: folders.length - snapshots };
}
