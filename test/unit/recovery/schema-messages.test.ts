import { expect, test } from 'vitest';
import { sha256Hex } from '../../../src/archive/digest.ts';
import { SchemaMessages } from '../../../src/recovery/schema-messages.ts';

const content = Buffer.from('digest\n{}');
const listed = { xid: String((3n << 32n) + 7n), sha256: sha256Hex(content) };

test('P12, I 52: a schema change counts when its run lists it, in its own transaction', () => {
  const messages = new SchemaMessages();
  messages.run({ schemaChanges: [] });
  expect(messages.worth(content, 7)).toBe('ignored');
  messages.run({ schemaChanges: [listed] });
  expect(messages.worth(content, 7)).toBe('proven');
  expect(messages.worth(content, 8)).toBe('ignored');
  expect(messages.worth(Buffer.from('digest\n{} '), 7)).toBe('ignored');
});

test('of a run that lists none because its writer knew no lists, nothing is known', () => {
  const messages = new SchemaMessages();
  messages.run({});
  expect(messages.worth(content, 7)).toBe('unproven');
});
