import type { Sealer } from '../archive/age.ts';
import type { Repository } from '../catalog/repository.ts';
import type { CaptureNames } from '../model/capture-names.ts';
import type { Lsn } from '../model/lsn.ts';
import type { ConnectionSettings } from '../postgres/connection-settings.ts';
import type { CaptureEvent } from './events.ts';
import type { Limits } from './machine.ts';

export interface CaptureRequest {
  readonly settings: ConnectionSettings;
  readonly names: CaptureNames;
  readonly repository: Repository;
  readonly source: string;
  readonly sealer: Sealer | undefined;
  readonly limits: Limits;
  /** Undefined: by the server's own limit. */
  readonly slotLimit: bigint | undefined;
  /** Ends in order once everything before it is stored. */
  readonly until: Lsn | undefined;
  readonly program: string;
  readonly onEvent: (event: CaptureEvent) => void;
  /** Asks for an end in order: what is whole is stored first. */
  readonly stop: AbortSignal;
}
