import type { Relation } from './decode.ts';
import { decodeMessage } from './decode.ts';
import type { MessageOrigin } from './message-reader.ts';

export interface RelationInForce {
  readonly relation: Relation;
  /** The message itself, copied. */
  readonly raw: Buffer;
  /** Type messages of its columns that are no built-in types. */
  readonly types: readonly { readonly oid: number; readonly raw: Buffer }[];
}

/**
 * What the Relation and Type messages of one session said last. The server sends them before a relation's first
 * change and again after an invalidation, so changes can be read only with them; a new session starts empty.
 */
export class RelationsInForce {
  readonly #origin: MessageOrigin;
  readonly #relations = new Map<number, RelationInForce>();
  readonly #types = new Map<number, Buffer>();

  constructor(origin: MessageOrigin) {
    this.#origin = origin;
  }

  has(oid: number): boolean {
    return this.#relations.has(oid);
  }

  get(oid: number): RelationInForce | undefined {
    return this.#relations.get(oid);
  }

  /** Keeps a copy of a Relation or Type message. */
  learn(message: Buffer): void {
    const raw = Buffer.from(message);
    const decoded = decodeMessage(raw, this.#origin);
    if (decoded.kind === 'type') this.#types.set(decoded.oid, raw);
    if (decoded.kind !== 'relation') return;
    const oids = new Set(decoded.columns.map((column) => column.typeOid));
    const types = [...oids].flatMap((oid) => {
      const type = this.#types.get(oid);
      return type === undefined ? [] : [{ oid, raw: type }];
    });
    this.#relations.set(decoded.oid, { relation: decoded, raw, types });
  }
}
