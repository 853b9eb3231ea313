import { Failure } from '../model/failure.ts';

const OPERATORS = ['>=', '<=', '<>', '!=', '=', '>', '<'] as const;

/** One comparison with a check's single value. */
export interface Expectation {
  readonly operator: (typeof OPERATORS)[number];
  readonly value: string;
}

/** Reads `> 0`, `= done`, `<> ''`; undefined when it is no comparison. */
export function parseExpectation(text: string): Expectation | undefined {
  const trimmed = text.trim();
  const operator = OPERATORS.find((candidate) => trimmed.startsWith(candidate));
  if (operator === undefined) return undefined;
  const value = trimmed.slice(operator.length).trim();
  return value === '' ? undefined : { operator, value };
}

const NUMBER = /^-?\d+(?:\.\d+)?$/;

/** Numbers as numbers, of any length, everything else as text, which has no order: fails with `config.invalid` then. */
export function meets(found: string | null, { operator, value }: Expectation): boolean {
  if (found === null) return false;
  const order = NUMBER.test(found) && NUMBER.test(value) ? compareNumbers(found, value) : undefined;
  if (operator === '=') return order === undefined ? found === value : order === 0;
  if (operator === '<>' || operator === '!=') return order === undefined ? found !== value : order !== 0;
  if (order === undefined)
    throw new Failure(
      'config.invalid',
      `a check expects ${operator} ${value}, and what it found is no number`,
    );
  if (operator === '>') return order > 0;
  if (operator === '>=') return order >= 0;
  return operator === '<' ? order < 0 : order <= 0;
}

/** Decimal fractions are whole numbers of the smaller one's last place. */
function compareNumbers(one: string, other: string): -1 | 0 | 1 {
  const places = Math.max(...[one, other].map((text) => text.split('.')[1]?.length ?? 0));
  const [a, b] = [one, other].map((text) => {
    const [whole = '', fraction = ''] = text.split('.');
    return BigInt(whole + fraction.padEnd(places, '0'));
  });
  return a === b ? 0 : (a ?? 0n) < (b ?? 0n) ? -1 : 1;
}
