import { asFailure } from '../model/failure.ts';
import type { Finding } from '../model/finding.ts';

/** Failures that say something of what is stored; any other ends the verification. */
const ABOUT_CONTENT = /^(?:integrity\.|repository\.object_missing$|recovery\.no_point$)/;

/** Looks at something; what is wrong with it becomes a finding, so that all that is wrong is found. */
export async function foundBy<T>(
  what: string,
  look: () => Promise<T>,
  findings: Finding[],
): Promise<T | undefined> {
  try {
    return await look();
  } catch (error) {
    const failure = asFailure(error);
    if (!ABOUT_CONTENT.test(failure.code)) throw failure;
    const message = `${what}: ${failure.message}`;
    findings.push({ level: 'error', check: failure.code, message, remedy: failure.remedy });
    return undefined;
  }
}
