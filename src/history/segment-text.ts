import type { Opener } from '../archive/age.ts';
import { readPart, readSegment, recordsOf } from '../archive/segment-reader.ts';
import type { StoredRecord } from '../archive/record.ts';
import { transactionsName } from '../archive/run-document.ts';
import { parseSegmentName } from '../archive/stream-names.ts';
import { keys } from '../catalog/keys.ts';
import type { Repository } from '../catalog/repository.ts';
import type { StreamAddress } from '../catalog/streams.ts';
import { formatCommitTime } from '../model/commit-time.ts';
import { Failure } from '../model/failure.ts';
import { displayRelation } from '../model/identifiers.ts';
import { formatLsn } from '../model/lsn.ts';
import { decodeMessage } from '../pgoutput/decode.ts';
import type { Message, Relation } from '../pgoutput/decode.ts';
import type { Tuple } from '../pgoutput/tuple.ts';

/**
 * One segment as text, a message a line: for people who want to see what is stored. Shows row values, so it needs
 * the key when they are encrypted. Everything is checked on the way.
 */
export async function* segmentText(
  repository: Repository,
  segment: StreamAddress & { readonly name: string },
  options: { readonly opener: Opener | undefined; readonly signal: AbortSignal },
): AsyncGenerator<string> {
  const stretch = parseSegmentName(segment.name);
  if (stretch === undefined) throw new Failure('usage.invalid', `not a segment’s name: ${segment.name}`);
  const { store } = repository;
  const get = (name: string): Promise<AsyncIterable<Uint8Array>> =>
    store.get(keys.streamObject(segment.source, segment.stream, name), { signal: options.signal });
  const how = { stream: segment.stream, opener: options.opener, trust: repository.trust };
  for await (const run of readSegment(await get(segment.name), { ...stretch, ...how })) {
    const { facts } = run;
    yield `RUN ${facts.from} to ${facts.to}: ${facts.transactions} transactions, ddl ${facts.ddl}, chain ${run.chain}`;
    const lines = new MessageLines();
    for (const listed of facts.parts) {
      yield `PART ${listed.name}`;
      for await (const record of readPart(await get(listed.name), listed, how)) yield lines.line(record);
    }
    for await (const member of run.members())
      if (member.facts.name !== transactionsName(facts.encryptedTo))
        for (const record of await recordsOf(member, options.opener)) yield lines.line(record);
  }
}

/** Messages as lines; knows the columns' names from the Relation messages before. */
class MessageLines {
  readonly #relations = new Map<number, Relation>();

  line({ message, inForce }: StoredRecord): string {
    const decoded = decodeMessage(message, 'storage');
    if (decoded.kind === 'relation') this.#relations.set(decoded.oid, decoded);
    return `${inForce ? '  in force: ' : ''}${this.#text(decoded)}`;
  }

  #text(message: Message): string {
    switch (message.kind) {
      case 'begin':
        return `BEGIN xid ${message.xid}, commits at ${formatLsn(message.commitLsn)}, ${formatCommitTime(message.commitTime)}`;
      case 'commit':
        return `COMMIT ${formatLsn(message.commitLsn)}, ends at ${formatLsn(message.endLsn)}`;
      case 'origin':
        return `  ORIGIN ${message.name} ${formatLsn(message.lsn)}`;
      case 'type':
        return `  TYPE ${message.oid} ${displayRelation(message)}`;
      case 'relation':
        return `  RELATION ${message.oid} ${displayRelation(message)} (${message.columns.map((column) => `${column.name}${column.isKey ? ' key' : ''}`).join(', ')}), identity ${message.identity}`;
      case 'insert':
        return `  INSERT ${this.#name(message.relation)} ${this.#row(message.relation, message.row)}`;
      case 'update': {
        const { old, relation, row } = message;
        const where = old === undefined ? '' : ` old ${old.kind} ${this.#row(relation, old.tuple)} new`;
        return `  UPDATE ${this.#name(relation)}${where} ${this.#row(relation, row)}`;
      }
      case 'delete':
        return `  DELETE ${this.#name(message.relation)} ${message.old.kind} ${this.#row(message.relation, message.old.tuple)}`;
      case 'truncate':
        return `  TRUNCATE ${message.relations.map((oid) => this.#name(oid)).join(', ')}${message.cascade ? ' cascade' : ''}${message.restartIdentity ? ' restart identity' : ''}`;
      case 'message':
        return `  MESSAGE ${quoted(Buffer.from(message.prefix))} ${quoted(message.content)}`;
    }
  }

  #name(oid: number): string {
    const relation = this.#relations.get(oid);
    return relation === undefined ? `relation ${oid}` : displayRelation(relation);
  }

  #row(oid: number, row: Tuple): string {
    const columns = this.#relations.get(oid)?.columns ?? [];
    return Array.from({ length: row.columns }, (_, at) => {
      const kind = row.kind(at);
      const value = row.value(at);
      const text = kind === 'n' ? 'null' : kind === 'u' ? 'unchanged' : quoted(value ?? Buffer.alloc(0));
      return `${columns[at]?.name ?? at}=${text}`;
    }).join(' ');
  }
}

/** On one line, whatever is in it: JSON's escapes; bytes that are no UTF-8 as hex. */
function quoted(bytes: Buffer): string {
  try {
    return JSON.stringify(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return `0x${bytes.toString('hex')}`;
  }
}
