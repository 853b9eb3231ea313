import { Failure } from '../model/failure.ts';
import { compress, decompress } from './compression.ts';
import { memberSchema } from './manifest.ts';
import type { Member } from './manifest.ts';
import { parseMemberName } from './member-name.ts';

/** A list of 2 million members is below; guards allocation against hostile frames. */
const MAX_LIST_BYTES = 1024 * 1024 * 1024;

/** JSON lines, one for each member in the archive's order, as one zstd frame. Plain also when data is encrypted. */
export function encodeMemberList(members: readonly Member[]): Promise<Buffer> {
  const lines = members.map((member) => `${JSON.stringify(member)}\n`);
  return compress(Buffer.from(lines.join(''), 'utf8'), 'zstd');
}

/**
 * Reads a list and believes nothing: every line fits the schema, its name says the same numbers, and members
 * follow each other without overlap. Fails with `integrity.format`.
 */
export async function decodeMemberList(bytes: Uint8Array): Promise<Member[]> {
  const text = (await decompress(bytes, 'zstd', { maxBytes: MAX_LIST_BYTES })).toString('utf8');
  const lines = text.split('\n');
  if (lines.pop() !== '') throw wrong(lines.length, 'ends within a line');
  let end = 0;
  return lines.map((line, index) => {
    const member = parseLine(line, index + 1);
    const named = parseMemberName(member.name);
    if (named?.table !== member.table || named.range !== member.range || named.part !== member.part) {
      throw wrong(index + 1, 'has a name that says otherwise');
    }
    if (member.offset < end + TAR_HEADER_BYTES) throw wrong(index + 1, 'overlaps the member before');
    end = member.offset + member.sizeBytes;
    return member;
  });
}

const TAR_HEADER_BYTES = 512;

function parseLine(line: string, number: number): Member {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch (cause) {
    throw new Failure('integrity.format', `line ${number} of a member list is not JSON`, { cause });
  }
  const parsed = memberSchema.safeParse(json);
  if (!parsed.success) throw wrong(number, 'is not what the format says');
  return parsed.data;
}

function wrong(line: number, what: string): Failure {
  return new Failure('integrity.format', `line ${line} of a member list ${what}`, { facts: { line } });
}
