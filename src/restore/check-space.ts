import { asFailure } from '../model/failure.ts';
import { quoteRelation } from '../model/identifiers.ts';
import type { Connection } from '../postgres/connection.ts';
import type { RestorePlan } from './plan.ts';
import { isInPlace } from './request.ts';
import type { RestoreRequest } from './request.ts';
import { refuseTooSmall, spaceLine, spaceNeed } from './space.ts';
import type { TargetDisk } from './space.ts';
import { readTargetDisk } from './target-disk.ts';

/** The plan with what it takes on the target's disks, and a blocker when that is known not to be there. */
export async function withSpace(
  connection: Connection,
  request: RestoreRequest,
  plan: RestorePlan,
): Promise<RestorePlan> {
  const need = spaceNeed(plan.tables, request.manifest);
  const disk = await diskOf(request, plan, connection);
  try {
    refuseTooSmall(need, disk);
  } catch (error) {
    return { ...plan, blockers: [...plan.blockers, asFailure(error).message] };
  }
  return { ...plan, space: spaceLine(need, disk) };
}

/** Fails with `target.space` where the target's disks can be looked at, and are too small. */
export async function refuseTooLittleSpace(
  request: RestoreRequest,
  plan: RestorePlan,
  connection: Connection,
): Promise<void> {
  if (plan.tables.length === 0) return;
  refuseTooSmall(spaceNeed(plan.tables, request.manifest), await diskOf(request, plan, connection));
}

/** Tables of the plan that stand there were loaded before a restore goes on, or are dropped before it begins. */
function diskOf(request: RestoreRequest, plan: RestorePlan, connection: Connection): Promise<TargetDisk> {
  const { database } = request.target;
  const isThere = connection.settings.database === database && !isInPlace(request);
  const own = plan.tables.filter((table) => plan.existing?.has(table.number) !== true);
  const taken = isThere ? own.map((table) => quoteRelation(table)) : [];
  return readTargetDisk(connection, { database, taken });
}
