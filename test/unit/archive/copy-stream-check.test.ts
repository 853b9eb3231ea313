import fc from 'fast-check';
import { expect, test } from 'vitest';
import { streamCheck } from '../../../src/archive/copy-stream-check.ts';

test('I 19: text rows are counted whatever the chunks', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ maxLength: 200 })), fc.integer({ min: 1, max: 50 }), (lines, size) => {
      const bytes = Buffer.from(lines.map((line) => `${line.replaceAll('\n', '')}\n`).join(''));
      const check = streamCheck('text');
      for (let at = 0; at < bytes.length; at += size) check.see(bytes.subarray(at, at + size));
      expect(() => check.finish(BigInt(lines.length))).not.toThrow();
      expect(() => check.finish(BigInt(lines.length + 1))).toThrow(/arrived/);
    }),
  );
});

test('a binary stream without its trailer is refused', () => {
  const header = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)]);
  const whole = streamCheck('binary');
  for (const byte of Buffer.concat([header, Buffer.from([0xff, 0xff])])) whole.see(Buffer.from([byte]));
  expect(() => whole.finish(0n)).not.toThrow();
  const cut = streamCheck('binary');
  cut.see(header);
  expect(() => cut.finish(0n)).toThrow(/trailer/);
});
