/** Messages as proto.c of PostgreSQL writes them, for tests: written from the manual, apart from our decoder. */
type Value = null | 'unchanged' | Buffer;

const u8 = (value: number): Buffer => Buffer.from([value]);
const u16 = (value: number): Buffer => {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
};
const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
const i64 = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(BigInt.asIntN(64, value));
  return bytes;
};
const text = (value: string): Buffer => Buffer.from(`${value}\0`, 'utf8');
const tag = (value: string): Buffer => Buffer.from(value, 'latin1');

function tuple(values: readonly Value[]): Buffer {
  const columns = values.map((value) => {
    if (value === null) return tag('n');
    if (value === 'unchanged') return tag('u');
    return Buffer.concat([tag('t'), u32(value.length), value]);
  });
  return Buffer.concat([u16(values.length), ...columns]);
}

export const pgoutput = {
  begin: (commitLsn: bigint, time: bigint, xid: number): Buffer =>
    Buffer.concat([tag('B'), i64(commitLsn), i64(time), u32(xid)]),
  commit: (commitLsn: bigint, endLsn: bigint, time: bigint): Buffer =>
    Buffer.concat([tag('C'), u8(0), i64(commitLsn), i64(endLsn), i64(time)]),
  origin: (lsn: bigint, name: string): Buffer => Buffer.concat([tag('O'), i64(lsn), text(name)]),
  relation: (
    oid: number,
    schema: string,
    name: string,
    columns: readonly { readonly name: string; readonly key: boolean; readonly type: number }[],
    identity = 'd',
  ): Buffer =>
    Buffer.concat([
      tag('R'),
      u32(oid),
      text(schema),
      text(name),
      tag(identity),
      u16(columns.length),
      ...columns.flatMap((column) => [
        u8(column.key ? 1 : 0),
        text(column.name),
        u32(column.type),
        u32(0xffffffff),
      ]),
    ]),
  type: (oid: number, schema: string, name: string): Buffer =>
    Buffer.concat([tag('Y'), u32(oid), text(schema), text(name)]),
  insert: (oid: number, row: readonly Value[]): Buffer =>
    Buffer.concat([tag('I'), u32(oid), tag('N'), tuple(row)]),
  update: (
    oid: number,
    row: readonly Value[],
    old?: { readonly mark: 'K' | 'O'; readonly row: readonly Value[] },
  ): Buffer =>
    Buffer.concat([
      tag('U'),
      u32(oid),
      ...(old === undefined ? [] : [tag(old.mark), tuple(old.row)]),
      tag('N'),
      tuple(row),
    ]),
  delete: (oid: number, mark: 'K' | 'O', row: readonly Value[]): Buffer =>
    Buffer.concat([tag('D'), u32(oid), tag(mark), tuple(row)]),
  truncate: (oids: readonly number[], flags: number): Buffer =>
    Buffer.concat([tag('T'), u32(oids.length), u8(flags), ...oids.map(u32)]),
  message: (options: {
    readonly transactional: boolean;
    readonly lsn: bigint;
    readonly prefix: string;
    readonly content: Buffer;
  }): Buffer =>
    Buffer.concat([
      tag('M'),
      u8(options.transactional ? 1 : 0),
      i64(options.lsn),
      text(options.prefix),
      u32(options.content.length),
      options.content,
    ]),
} as const;
