import type { CaptureNames } from '../../model/capture-names.ts';
import type { Connection } from '../../postgres/connection.ts';
import { probeAbilities, readCaptureServer, readCaptureTables } from '../../postgres/capture-probe.ts';
import type { Abilities, CaptureServer, CaptureTable } from '../../postgres/capture-probe.ts';
import { readServerFacts } from '../../postgres/inventory.ts';
import type { ServerFacts } from '../../postgres/inventory.ts';
import { readPublications } from '../../postgres/publications.ts';
import type { Publication } from '../../postgres/publications.ts';
import { readSlot } from '../../postgres/slot.ts';
import type { Slot } from '../../postgres/slot.ts';

/** All that the plan of a set-up depends on. */
export interface SourceState {
  readonly facts: ServerFacts;
  readonly server: CaptureServer;
  readonly abilities: Abilities;
  readonly tables: readonly CaptureTable[];
  readonly publications: readonly Publication[];
  readonly slot: Slot | undefined;
}

const NONE: Abilities = {
  publication: false,
  allTables: false,
  eventTrigger: false,
  tablesOfOthers: false,
  slot: 'denied',
};

/** Reads it. What the role may do is tried in a transaction that is rolled back; a standby is not asked. */
export async function readSourceState(session: Connection, names: CaptureNames): Promise<SourceState> {
  const facts = await readServerFacts(session);
  const tables = await readCaptureTables(session, names);
  return {
    facts,
    server: await readCaptureServer(session, names),
    abilities: facts.inRecovery ? NONE : await probeAbilities(session, tables),
    tables,
    publications: await readPublications(session, [names.rows, names.changes]),
    slot: await readSlot(session, names.slot),
  };
}
