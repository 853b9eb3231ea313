import type { DrillDocument, Proof } from '../archive/drill-document.ts';
import { Failure } from '../model/failure.ts';

/**
 * What the proofs come to. Proved: the content of every witnessed table equals what the source had, and nothing else
 * failed. Partly: nothing failed, but no witness speaks for this point, or something could not be looked at. A failure to read
 * what is stored (`integrity.*`) disproves as well. Fails with `check.empty` where nothing was looked at.
 */
export function verdictOf(facts: {
  readonly proofs: readonly Proof[];
  readonly failure?: { readonly code: string } | undefined;
}): DrillDocument['verdict'] {
  const { proofs, failure } = facts;
  if (failure !== undefined) return failure.code.startsWith('integrity.') ? 'disproved' : 'failed';
  if (proofs.every(({ outcome }) => outcome === 'skipped'))
    throw new Failure('check.empty', 'the drill compared nothing');
  if (proofs.some(({ outcome }) => outcome === 'disproved')) return 'disproved';
  const isWitnessed = proofs.some(({ kind, outcome }) => kind === 'witness' && outcome === 'proved');
  return isWitnessed && proofs.every(({ outcome }) => outcome === 'proved') ? 'proved' : 'partly';
}
