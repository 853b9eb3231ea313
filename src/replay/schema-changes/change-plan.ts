/** What brings the target to a description, in order; `problems` says what can't be brought, and why. */
export interface ChangePlan {
  readonly statements: readonly string[];
  readonly problems: readonly string[];
}

/** Whether something is to be given to a role: it is wanted, and the target has the role. */
export type Owners = (role: string) => boolean;

export const NOTHING: ChangePlan = { statements: [], problems: [] };

export function allOf(plans: readonly ChangePlan[]): ChangePlan {
  return {
    statements: plans.flatMap(({ statements }) => statements),
    problems: plans.flatMap(({ problems }) => problems),
  };
}

export function doing(...statements: readonly string[]): ChangePlan {
  return { statements, problems: [] };
}

export function cannot(...problems: readonly string[]): ChangePlan {
  return { statements: [], problems };
}

/** Things that are told apart by their names: which are wanted and missing, and which are there unwanted. */
export function differences<T extends { readonly name: string }>(
  wanted: readonly T[] | undefined,
  there: readonly T[] | undefined,
): { readonly missing: T[]; readonly extra: T[]; readonly both: (readonly [wanted: T, there: T])[] } {
  const found = new Map((there ?? []).map((one) => [one.name, one]));
  const named = new Set((wanted ?? []).map(({ name }) => name));
  return {
    missing: (wanted ?? []).filter(({ name }) => !found.has(name)),
    extra: (there ?? []).filter(({ name }) => !named.has(name)),
    both: (wanted ?? []).flatMap((one) => {
      const other = found.get(one.name);
      return other === undefined ? [] : [[one, other] as const];
    }),
  };
}
