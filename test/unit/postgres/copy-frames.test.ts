import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CopyFrames } from '../../../src/postgres/copy-frames.ts';

const DATA = 'd';

function message(type: string, content: Uint8Array): Buffer {
  const header = Buffer.alloc(5);
  header.write(type, 'latin1');
  header.writeUInt32BE(content.length + 4, 1);
  return Buffer.concat([header, content]);
}

const messages = fc.array(
  fc.record({
    type: fc.constantFrom(DATA, DATA, DATA, 'N', 'S', 'H'),
    content: fc.uint8Array({ maxLength: 40 }),
  }),
  { maxLength: 30 },
);

test('data and messages come apart whatever the chunks, and however little the sink takes at once', () => {
  fc.assert(
    fc.property(messages, fc.array(fc.integer({ min: 1, max: 17 }), { minLength: 1 }), (sent, sizes) => {
      const data: Buffer[] = [];
      const others: Buffer[] = [];
      let room = 0;
      const frames = new CopyFrames({
        data: (bytes, from, to) => {
          const taken = Math.min(room, to - from);
          room -= taken;
          data.push(Buffer.from(bytes.subarray(from, from + taken)));
          return taken;
        },
        message: (bytes) => others.push(bytes) > 0,
      });
      const wire = Buffer.concat(sent.map(({ type, content }) => message(type, content)));
      let turn = 0;
      const size = (): number => sizes[turn++ % sizes.length] ?? 1;
      for (let at = 0; at < wire.length;) {
        const chunk = wire.subarray(at, at + size());
        for (let used = 0; used < chunk.length;) {
          room = size();
          used += frames.push(chunk.subarray(used));
        }
        at += chunk.length;
      }
      const ofType = (isData: boolean): typeof sent => sent.filter(({ type }) => (type === DATA) === isData);
      expect(Buffer.concat(data)).toEqual(Buffer.concat(ofType(true).map(({ content }) => content)));
      expect(others).toEqual(ofType(false).map(({ type, content }) => message(type, content)));
      expect(frames.dataMessages).toBe(ofType(true).length);
    }),
  );
});

test('what follows the last message is left to others', () => {
  const end = message('Z', Buffer.from('I'));
  const rest = message('N', Buffer.from('later'));
  const frames = new CopyFrames({ data: () => 0, message: () => false });
  expect(frames.push(Buffer.concat([end, rest]))).toBe(end.length);
});

test('a message of no possible length is an error', () => {
  const frames = new CopyFrames({ data: () => 0, message: () => true });
  expect(() => frames.push(Buffer.from([0x64, 0, 0, 0, 3]))).toThrow(/length/);
});
