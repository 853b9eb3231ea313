import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeMessage } from '../../../src/pgoutput/decode.ts';
import { copyText } from '../../../src/replay/copy-text.ts';
import { pgoutput } from '../../support/pgoutput-messages.ts';

const UNESCAPED: Readonly<Record<string, string>> = { t: '\t', n: '\n', r: '\r', '\\': '\\' };

/** By the manual's rules for COPY text. */
function read(text: string): (string | null)[][] {
  const lines = text.split('\n');
  expect(lines.pop()).toBe('');
  return lines.map((line) =>
    line
      .split('\t')
      .map((field) =>
        field === '\\N' ? null : field.replaceAll(/\\(.)/gs, (_, letter: string) => UNESCAPED[letter] ?? '?'),
      ),
  );
}

test('I 37: any bytes come back from COPY text', async () => {
  const value = fc.option(
    fc.oneof(
      fc.uint8Array({ maxLength: 20 }),
      fc.array(fc.constantFrom(9, 10, 13, 92, 46, 78), { maxLength: 8 }),
    ),
  );
  const rows = fc
    .integer({ min: 1, max: 4 })
    .chain((width) => fc.array(fc.array(value, { minLength: width, maxLength: width }), { maxLength: 8 }));
  await fc.assert(
    fc.asyncProperty(rows, async (values) => {
      const tuples = values.map((row) => {
        const message = pgoutput.insert(
          1,
          row.map((each) => (each === null ? null : Buffer.from(each))),
        );
        const decoded = decodeMessage(message, 'storage');
        if (decoded.kind !== 'insert') throw new Error('no insert');
        return decoded.row;
      });
      const chunks: Buffer[] = [];
      for await (const chunk of copyText(tuples)) chunks.push(chunk);
      expect(read(Buffer.concat(chunks).toString('latin1'))).toEqual(
        values.map((row) => row.map((each) => (each === null ? null : Buffer.from(each).toString('latin1')))),
      );
    }),
  );
});

test('a value larger than a chunk', async () => {
  const large = Buffer.alloc(700_000, 10);
  const decoded = decodeMessage(pgoutput.insert(1, [Buffer.from('1'), large]), 'storage');
  if (decoded.kind !== 'insert') throw new Error('no insert');
  const chunks: Buffer[] = [];
  for await (const chunk of copyText([decoded.row, decoded.row])) chunks.push(chunk);
  expect(read(Buffer.concat(chunks).toString('latin1')).map((row) => row[1]?.length)).toEqual([
    700_000, 700_000,
  ]);
});
