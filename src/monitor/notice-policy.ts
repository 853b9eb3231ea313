import type { Notice } from './notice.ts';

/** Of one subject: when each code was told last, and whether what was told still stands. */
export interface Told {
  readonly open: boolean;
  readonly at: ReadonlyMap<string, number>;
}

const AGAIN_MS = 6 * 3_600_000;
const NOTHING: Told = { open: false, at: new Map() };

/**
 * Whether a notice is sent: the same failure of the same subject once in six hours, that it works again only to
 * whom a failure was told, anything else always. Pure; `told` is what to remember for the subject.
 */
export function admitNotice(
  notice: Pick<Notice, 'kind' | 'code' | 'at'>,
  told: Told = NOTHING,
): { readonly send: boolean; readonly told: Told } {
  const now = notice.at.getTime();
  switch (notice.kind) {
    case 'failure': {
      const before = told.at.get(notice.code ?? '');
      if (before !== undefined && now - before < AGAIN_MS) return { send: false, told };
      return { send: true, told: { open: true, at: new Map(told.at).set(notice.code ?? '', now) } };
    }
    case 'recovery':
      return { send: told.open, told: { ...told, open: false } };
    case 'success':
    case 'test':
      return { send: true, told };
  }
}
