import { expect, test } from 'vitest';
import { refuseLoss } from '../../../src/snapshot/copy-range.ts';

const received = { rows: 3n, messages: 3, bytes: 30 };

test.each([
  ['all is there', {}, 'text', undefined],
  ['a row less', { messages: 2 }, 'text', /counted 3 rows, 2 arrived/],
  ['a row more', { messages: 4 }, 'text', /counted 3 rows, 4 arrived/],
  ['a byte less', { bytes: 29 }, 'text', /29 bytes arrived, 30 were stored/],
  ['binary, with a message for its trailer', { messages: 4 }, 'binary', undefined],
  ['binary, a byte less', { bytes: 29 }, 'binary', /29 bytes arrived/],
] as const)('I 19: what arrived and what was stored must agree: %s', (_, change, format, error) => {
  const check = (): void => refuseLoss({ ...received, ...change }, { format, copyBytes: 30n });
  if (error === undefined) expect(check).not.toThrow();
  else expect(check).toThrow(error);
});
