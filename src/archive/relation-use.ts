import { ROW_KINDS } from './transaction-columns.ts';

/** A relation as the messages in force describe it; pgoutput's RelationsInForce has them. */
export interface DescribedRelation {
  readonly relation: { readonly oid: number; readonly schema: string; readonly name: string };
  /** Its Relation message. */
  readonly raw: Buffer;
  /** Type messages that its columns need. */
  readonly types: readonly { readonly oid: number; readonly raw: Buffer }[];
}

/** Rows of one table in a run. */
export interface TableTotals {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  inserts: number;
  updates: number;
  deletes: number;
  truncates: number;
}

/** One version of a relation within a run: a later Relation message makes another. */
interface Used {
  readonly described: DescribedRelation;
  /** Position in the run's tables. */
  readonly table: number;
  /** Of the transaction under way, by kind. */
  readonly counts: number[];
  /** The transaction that used or described it last. */
  transaction: number;
  /** The transaction that brought its Relation message; 0 when that came before the run. */
  describedIn: number;
  /** The run or part that has its Relation message, in its place or in front. */
  presentIn: number;
}

/**
 * Which relations a run uses: counts their rows, and collects the messages that must stand before its records since
 * the server sent them earlier in the session. Numbers, not names, on the path of every change.
 */
export class RelationUse {
  readonly tables: TableTotals[] = [];
  readonly #inForce: { get(oid: number): DescribedRelation | undefined };
  readonly #used = new Map<number, Used>();
  readonly #tableNumbers = new Map<string, number>();
  /** Counts the run and its parts. */
  #container = 1;
  #preamble: Buffer[] = [];
  /** Whose Type message stands in front of the container, or somewhere among its records. */
  readonly #typesInFront = new Set<number>();
  readonly #typesWithin = new Set<number>();
  #transaction = 1;
  #touched: Used[] = [];
  #last: Used | undefined;
  #lastOid = -1;

  constructor(inForce: { get(oid: number): DescribedRelation | undefined }) {
    this.#inForce = inForce;
  }

  /** A row of a relation; `kind` is a place in ROW_KINDS. */
  count(oid: number, kind: number): void {
    const used = oid === this.#lastOid && this.#last !== undefined ? this.#last : this.#find(oid);
    if (used.transaction !== this.#transaction) this.#touch(used);
    used.counts[kind] = (used.counts[kind] ?? 0) + 1;
  }

  /** Its Relation message is the next record. */
  describe(oid: number): void {
    const used = this.#add(oid);
    used.describedIn = this.#transaction;
    used.presentIn = this.#container;
    this.#putTypes(used.described, this.#typesWithin);
    this.#touch(used);
    this.#last = undefined;
  }

  /** A Type message is the next record. */
  describeType(oid: number): void {
    this.#typesWithin.add(oid);
  }

  /** Hands out the transaction's rows, adds them to the totals, and begins the next one. Number of rows handed out. */
  commit(rows: (table: number, kind: number, count: number) => void): number {
    let entries = 0;
    for (const used of this.#touched) {
      const totals = this.tables[used.table];
      for (const [kind, name] of ROW_KINDS.entries()) {
        const count = used.counts[kind] ?? 0;
        if (count === 0 || totals === undefined) continue;
        totals[name] += count;
        used.counts[kind] = 0;
        rows(used.table, kind, count);
        entries += 1;
      }
    }
    this.#touched.length = 0;
    this.#transaction += 1;
    return entries;
  }

  /** Messages that must stand before the records so far; what follows begins anew (the next part of a transaction). */
  takePreamble(): Buffer[] {
    const taken = this.#preamble;
    this.#preamble = [];
    this.#typesInFront.clear();
    this.#typesWithin.clear();
    this.#container += 1;
    this.#last = undefined;
    return taken;
  }

  /** For the next run, into which the open transaction moves as far as it came. */
  moveOpen(): RelationUse {
    const next = new RelationUse(this.#inForce);
    for (const used of this.#touched) next.#adopt(used, used.describedIn === this.#transaction);
    this.#touched = [];
    return next;
  }

  #adopt(from: Used, describedHere: boolean): void {
    const used: Used = {
      described: from.described,
      table: this.#tableNumber(from.described),
      counts: [...from.counts],
      transaction: this.#transaction,
      describedIn: describedHere ? this.#transaction : 0,
      presentIn: this.#container,
    };
    if (describedHere) this.#putTypes(used.described);
    else this.#putInFront(used.described);
    this.#used.set(used.described.relation.oid, used);
    this.#touched.push(used);
  }

  #find(oid: number): Used {
    const used = this.#used.get(oid) ?? this.#add(oid);
    if (used.presentIn !== this.#container) {
      used.presentIn = this.#container;
      this.#putInFront(used.described);
    }
    this.#last = used;
    this.#lastOid = oid;
    return used;
  }

  #add(oid: number): Used {
    const described = this.#inForce.get(oid);
    if (described === undefined) throw new TypeError(`relation ${oid} is not in force`);
    const table = this.#tableNumber(described);
    const used: Used = {
      described,
      table,
      counts: [0, 0, 0, 0],
      transaction: 0,
      describedIn: 0,
      presentIn: 0,
    };
    this.#used.set(oid, used);
    return used;
  }

  #touch(used: Used): void {
    used.transaction = this.#transaction;
    this.#touched.push(used);
  }

  #putInFront(described: DescribedRelation): void {
    this.#putTypes(described);
    this.#preamble.push(described.raw);
  }

  /** Those among the records serve only relations that are described there. */
  #putTypes(described: DescribedRelation, known?: ReadonlySet<number>): void {
    for (const type of described.types) {
      if (this.#typesInFront.has(type.oid) || known?.has(type.oid) === true) continue;
      this.#typesInFront.add(type.oid);
      this.#preamble.push(type.raw);
    }
  }

  #tableNumber({ relation: { oid, schema, name } }: DescribedRelation): number {
    const key = JSON.stringify([oid, schema, name]);
    const known = this.#tableNumbers.get(key);
    if (known !== undefined) return known;
    this.#tableNumbers.set(key, this.tables.length);
    this.tables.push({ oid, schema, name, inserts: 0, updates: 0, deletes: 0, truncates: 0 });
    return this.tables.length - 1;
  }
}
