import fc from 'fast-check';
import { expect, test } from 'vitest';
import { displayRelation, quoteIdentifier } from '../../../src/model/identifiers.ts';
import { relationPattern, schemaPattern } from '../../../src/model/patterns.ts';

test.for([
  ['users', 'public', 'users', true],
  ['USERS', 'public', 'users', true],
  ['"USERS"', 'public', 'users', false],
  ['public.user*', 'public', 'user_favorites', true],
  ['public.user*', 'private', 'user_favorites', false],
  ['user?', 'public', 'users', true],
  ['"user?"', 'public', 'users', false],
  ['"a.b"."c"', 'a.b', 'c', true],
  ['"a.b"."c"', 'a', 'b.c', false],
  ['"a"."b.c"', 'a', 'b.c', true],
] as const)('%s against %s.%s: %s', ([pattern, schema, name, matches]) => {
  expect(relationPattern(pattern).matches({ schema, name })).toBe(matches);
});

test('a quoted name matches itself and nothing else, whatever is in it', () => {
  const name = fc.string({ minLength: 1, unit: 'grapheme' }).filter((text) => !text.includes('\0'));
  fc.assert(
    fc.property(name, name, (one, other) => {
      const pattern = schemaPattern(quoteIdentifier(one));
      expect(pattern.matches({ schema: one, name: 'x' })).toBe(true);
      expect(pattern.matches({ schema: other, name: 'x' })).toBe(one === other);
    }),
  );
});

test('display tells different relations apart', () => {
  expect(displayRelation({ schema: 'a.b', name: 'c' })).not.toBe(
    displayRelation({ schema: 'a', name: 'b.c' }),
  );
});

test.for(['', 'a.b.c', '"open', 'a..b'])('%j is refused', (text) => {
  expect(() => relationPattern(text)).toThrow(/not a name pattern/);
});
