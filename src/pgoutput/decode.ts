import { asLsn } from '../model/lsn.ts';
import type { Lsn } from '../model/lsn.ts';
import { MessageReader } from './message-reader.ts';
import type { MessageOrigin, MessagePlace } from './message-reader.ts';
import { TAG, TUPLE } from './peek.ts';
import { readTuple } from './tuple.ts';
import type { Tuple } from './tuple.ts';

interface RelationColumn {
  readonly name: string;
  /** Part of the replica identity. */
  readonly isKey: boolean;
  readonly typeOid: number;
  readonly typeModifier: number;
}

export interface Relation {
  readonly kind: 'relation';
  readonly oid: number;
  /** `pg_catalog` is sent as the empty string, and is named here. */
  readonly schema: string;
  readonly name: string;
  readonly identity: 'default' | 'nothing' | 'full' | 'index';
  /** Without generated ones, which are not sent. */
  readonly columns: readonly RelationColumn[];
}

/** A row that was identified by its key (`K`: other columns are null) or as a whole (`O`, REPLICA IDENTITY FULL). */
interface OldTuple {
  readonly kind: 'key' | 'whole';
  readonly tuple: Tuple;
}

/** A message of pgoutput, protocol 1. Buffers in it are views of what was decoded. */
export type Message =
  | { readonly kind: 'begin'; readonly commitLsn: Lsn; readonly commitTime: bigint; readonly xid: number }
  | { readonly kind: 'commit'; readonly commitLsn: Lsn; readonly endLsn: Lsn; readonly commitTime: bigint }
  | { readonly kind: 'origin'; readonly lsn: Lsn; readonly name: string }
  | Relation
  | { readonly kind: 'type'; readonly oid: number; readonly schema: string; readonly name: string }
  | { readonly kind: 'insert'; readonly relation: number; readonly row: Tuple }
  | {
      readonly kind: 'update';
      readonly relation: number;
      /** Absent when the identity did not change and is not the whole row. */
      readonly old: OldTuple | undefined;
      readonly row: Tuple;
    }
  | { readonly kind: 'delete'; readonly relation: number; readonly old: OldTuple }
  | {
      readonly kind: 'truncate';
      readonly relations: readonly number[];
      readonly cascade: boolean;
      readonly restartIdentity: boolean;
    }
  | {
      readonly kind: 'message';
      readonly transactional: boolean;
      readonly lsn: Lsn;
      readonly prefix: string;
      readonly content: Buffer;
    };

/**
 * Decodes one whole message (all of `bytes`, or what stands at `place` there) and believes nothing: an unknown type, a wrong length, a flag that no version sends or
 * bytes behind the end are `source.protocol`, or `integrity.format` when it was read from storage. Values are not
 * converted. Field by field: manual, "Logical Replication Message Formats"; Postgres: proto.c.
 */
export function decodeMessage(bytes: Buffer, origin: MessageOrigin, place?: MessagePlace): Message {
  const reader = new MessageReader(bytes, origin, place);
  const message = readBody(reader, reader.byte());
  reader.end();
  return message;
}

function readBody(reader: MessageReader, tag: number): Message {
  switch (tag) {
    case TAG.begin:
      return {
        kind: 'begin',
        commitLsn: asLsn(reader.uint64()),
        commitTime: reader.int64(),
        xid: reader.uint32(),
      };
    case TAG.commit:
      return readCommit(reader);
    case TAG.origin:
      return { kind: 'origin', lsn: asLsn(reader.uint64()), name: reader.text() };
    case TAG.relation:
      return readRelation(reader);
    case TAG.type:
      return { kind: 'type', oid: reader.uint32(), schema: schemaName(reader.text()), name: reader.text() };
    case TAG.insert:
      return { kind: 'insert', relation: reader.uint32(), row: readNew(reader) };
    case TAG.update:
      return readUpdate(reader);
    case TAG.delete: {
      const relation = reader.uint32();
      return { kind: 'delete', relation, old: readOld(reader, reader.byte()) };
    }
    case TAG.truncate:
      return readTruncate(reader);
    case TAG.message:
      return readLogicalMessage(reader);
    default:
      throw reader.wrong('is unknown to protocol 1');
  }
}

function readCommit(reader: MessageReader): Message {
  if (reader.byte() !== 0) throw reader.wrong('has an unknown flag');
  return {
    kind: 'commit',
    commitLsn: asLsn(reader.uint64()),
    endLsn: asLsn(reader.uint64()),
    commitTime: reader.int64(),
  };
}

const IDENTITIES: Readonly<Record<number, Relation['identity']>> = {
  0x64: 'default',
  0x6e: 'nothing',
  0x66: 'full',
  0x69: 'index',
};

function readRelation(reader: MessageReader): Relation {
  const oid = reader.uint32();
  const schema = schemaName(reader.text());
  const name = reader.text();
  const identity = IDENTITIES[reader.byte()];
  if (identity === undefined) throw reader.wrong('has an unknown replica identity');
  const columns: RelationColumn[] = [];
  for (let left = reader.columns(); left > 0; left -= 1) {
    const flags = reader.byte();
    if (flags > 1) throw reader.wrong('has an unknown flag');
    columns.push({
      isKey: flags === 1,
      name: reader.text(),
      typeOid: reader.uint32(),
      typeModifier: reader.int32(),
    });
  }
  return { kind: 'relation', oid, schema, name, identity, columns };
}

function readUpdate(reader: MessageReader): Message {
  const relation = reader.uint32();
  const mark = reader.byte();
  if (mark === TUPLE.new) return { kind: 'update', relation, old: undefined, row: readTuple(reader) };
  const old = readOld(reader, mark);
  return { kind: 'update', relation, old, row: readNew(reader) };
}

function readTruncate(reader: MessageReader): Message {
  const count = reader.length();
  const flags = reader.byte();
  if (flags > 3) throw reader.wrong('has an unknown flag');
  const relations: number[] = [];
  for (let left = count; left > 0; left -= 1) relations.push(reader.uint32());
  return { kind: 'truncate', relations, cascade: (flags & 1) !== 0, restartIdentity: (flags & 2) !== 0 };
}

function readLogicalMessage(reader: MessageReader): Message {
  const flags = reader.byte();
  if (flags > 1) throw reader.wrong('has an unknown flag');
  return {
    kind: 'message',
    transactional: flags === 1,
    lsn: asLsn(reader.uint64()),
    prefix: reader.text(),
    content: reader.view(reader.length()),
  };
}

function readNew(reader: MessageReader): Tuple {
  if (reader.byte() !== TUPLE.new) throw reader.wrong('has no new row where one must be');
  return readTuple(reader);
}

function readOld(reader: MessageReader, mark: number): OldTuple {
  if (mark !== TUPLE.key && mark !== TUPLE.old) throw reader.wrong('has no old row where one must be');
  return { kind: mark === TUPLE.key ? 'key' : 'whole', tuple: readTuple(reader) };
}

function schemaName(sent: string): string {
  return sent === '' ? 'pg_catalog' : sent;
}
