import type { Failure } from '../model/failure.ts';
import type { Notice } from '../monitor/notice.ts';

/** A notice without what is the same for all of a process. */
export type Tidings = Pick<Notice, 'kind' | 'subject' | 'code' | 'message' | 'remedy'>;

export function failed(subject: string, { code, message, remedy }: Failure): Tidings {
  return { kind: 'failure', subject, code, message, remedy };
}

export function recovered(subject: string, message: string): Tidings {
  return { kind: 'recovery', subject, code: undefined, message, remedy: undefined };
}

export function succeeded(subject: string, message: string): Tidings {
  return { ...recovered(subject, message), kind: 'success' };
}
