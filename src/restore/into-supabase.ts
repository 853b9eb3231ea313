import type { Manifest } from '../archive/manifest.ts';
import { displayRelation, quoteRelation } from '../model/identifiers.ts';
import type { Connection } from '../postgres/connection.ts';
import { sqlFile } from '../postgres/sql-file.ts';
import { isPlatformRole, isPlatformSchema } from '../postgres/supabase.ts';
import type { RestorePlan } from './plan.ts';
import type { SchemaEntry } from './schema-script.ts';

/** What a Supabase project has before a restore. Names as pg_restore lists them: `users on_auth_user_created`. */
export interface ProjectFacts {
  readonly supabase: boolean;
  readonly schemas: readonly string[];
  readonly extensions: readonly string[];
  readonly eventTriggers: readonly string[];
  readonly publications: readonly string[];
  /** `schema.table trigger` */
  readonly triggers: readonly string[];
  /** `schema.name` of the function that each of them runs, in the same order. */
  readonly triggerFunctions: readonly string[];
  /** `schema.table policy` */
  readonly policies: readonly string[];
  /** `schema.name` of tables, views, sequences and indexes, and of functions, in every schema. */
  readonly relations: readonly string[];
  readonly functions: readonly string[];
  /** Roles that the restoring one may give objects to. */
  readonly owners: readonly string[];
}

/** Undefined: the target is no Supabase project. */
export async function readProject(connection: Connection): Promise<ProjectFacts | undefined> {
  const [facts] = await connection.query<ProjectFacts>(sqlFile('target/platform'));
  return facts?.supabase === true ? facts : undefined;
}

/**
 * Fits a plan to a Supabase project, where the platform has made its schemas, roles, event triggers and
 * publications before. Definitions of those are left out, but for the triggers and policies that users put on the
 * platform's tables; rows of `auth` and `storage` go into the tables that are there. What the restoring role may
 * not say, about owners and other roles' privileges, is not said. Everything left out that could matter is noted.
 *
 * With `clean`, what the snapshot lists outside of the platform's schemas is dropped and made again, and with it the
 * user's policies on the platform's tables and the triggers there that run the user's functions.
 */
export function planIntoSupabase(
  plan: RestorePlan,
  facts: ProjectFacts,
  context: { readonly manifest: Pick<Manifest, 'server'>; readonly clean: boolean },
): RestorePlan {
  const { manifest, clean } = context;
  const fit = new Fitting(facts, clean ? userFunctions(plan) : undefined);
  const preData = plan.preData.flatMap((entry) => fit.entry(entry));
  const postData = plan.postData.flatMap((entry) => fit.entry(entry));
  const existing = plan.tables.filter((table) => isPlatformSchema(table.schema));
  const foreign = manifest.server.profile === 'supabase' ? [] : existing;
  return {
    ...plan,
    preData,
    postData,
    existing: new Set(existing.map((table) => table.number)),
    // Those of the platform's tables are moved on with their rows.
    sequences: plan.sequences.filter((sequence) => !isPlatformSchema(sequence.schema)),
    materializedViews: plan.materializedViews.filter((view) => !isPlatformSchema(view.schema)),
    database: [],
    notes: [...plan.notes, ...fit.notes(), ...keptAsItIs(plan)],
    blockers: [
      ...plan.blockers,
      ...foreign.map(
        (table) => `${displayRelation(table)} lies in a schema that belongs to Supabase on the target`,
      ),
      ...(clean ? unlistedTriggers(plan, facts) : []),
    ],
  };
}

/** `schema.name()` of functions that a user made. */
function userFunctions(plan: Pick<RestorePlan, 'preData'>): Set<string> {
  const own = plan.preData.filter((entry) => entry.type === 'FUNCTION' && !isPlatformSchema(entry.schema));
  return new Set(own.map((entry) => `${entry.schema}.${entry.name}`));
}

/** Triggers on the platform's tables that run a function of the snapshot, by that function. */
function triggersBy(plan: RestorePlan, facts: ProjectFacts): { trigger: string; runs: string }[] {
  const own = userFunctions(plan);
  return facts.triggers
    .map((trigger, at) => ({ trigger, runs: `${facts.triggerFunctions[at]}()` }))
    .filter(({ trigger, runs }) => isPlatformSchema(trigger.split('.')[0] ?? '') && own.has(runs));
}

function unlistedTriggers(plan: RestorePlan, facts: ProjectFacts): string[] {
  const listed = new Set(
    plan.postData.filter((entry) => entry.type === 'TRIGGER').map((entry) => `${entry.schema}.${entry.name}`),
  );
  return triggersBy(plan, facts)
    .filter(({ trigger }) => !listed.has(trigger))
    .map(({ trigger, runs }) => `trigger ${trigger} runs ${runs} and is not in the snapshot: drop it first`);
}

/** What `--clean` drops in a project. */
export interface ProjectDrops {
  readonly dumpIds: readonly number[];
  /** These go with the triggers on the platform's tables that run them: a trigger's table is not the user's to change. */
  readonly withTriggers: ReadonlySet<string>;
}

/** Pure. `plan` is one that was fitted with `clean`. */
export function dropsInProject(plan: RestorePlan, facts: ProjectFacts): ProjectDrops {
  const kept = [...plan.preData, ...plan.postData];
  const drops = kept.filter((entry) => entry.type !== 'TRIGGER' || !isPlatformSchema(entry.schema));
  const named = new Set(triggersBy(plan, facts).map(({ runs }) => runs));
  const functions = plan.preData.filter((entry) => named.has(`${entry.schema}.${entry.name}`));
  return {
    dumpIds: drops.map((entry) => entry.dumpId),
    // A trigger's function has no arguments.
    withTriggers: new Set(
      functions.map(({ schema, name }) => quoteRelation({ schema, name: name.replace(/\(\)$/, '') })),
    ),
  };
}

/** Settings of a project's database are its platform's, keys among them. */
function keptAsItIs({ database }: RestorePlan): string[] {
  if (database.length === 0) return [];
  const what = database.map(({ about }) => about).join(', ');
  return [`the project’s database stays as it is; make again what you need of: ${what}`];
}

/** The owner stands last in an entry's text; a function's body may hold such a line before it. */
const OWNER = /\n+ALTER [A-Z ]+ [^\n]* OWNER TO [^\n]*;\s*$/;
const RELATIONS = new Set(['TABLE', 'VIEW', 'MATERIALIZED VIEW', 'SEQUENCE', 'FOREIGN TABLE', 'INDEX']);
const FUNCTIONS = new Set(['FUNCTION', 'PROCEDURE', 'AGGREGATE']);
const SATELLITE = new Set(['COMMENT', 'SECURITY LABEL', 'ACL']);

class Fitting {
  readonly #facts: ProjectFacts;
  /** Functions that are dropped and made again; undefined: nothing is. */
  readonly #replaced: ReadonlySet<string> | undefined;
  readonly #leftOut = new Set<number>();
  readonly #others = new Set<string>();
  readonly #grants: string[] = [];
  /** What a user has made in the platform's schemas, where a project's user may make nothing any more. */
  readonly #lacking: string[] = [];

  constructor(facts: ProjectFacts, replaced: ReadonlySet<string> | undefined) {
    this.#facts = facts;
    this.#replaced = replaced;
  }

  /** Nothing, or the entry as the project takes it. In the archive's order: what speaks of another comes after it. */
  entry(entry: SchemaEntry): SchemaEntry[] {
    // Schema "public" is there and the user's all the same: what is granted on it is kept.
    if (entry.type === 'SCHEMA' && !isPlatformSchema(entry.name) && this.#isThere(entry)) return [];
    if (this.#isThere(entry)) {
      this.#leftOut.add(entry.dumpId);
      if (this.#isLacking(entry))
        this.#lacking.push(`${entry.type.toLowerCase()} ${entry.schema}.${entry.name}`);
      return [];
    }
    if (/^SET SESSION AUTHORIZATION /m.test(entry.sql) && entry.type === 'ACL') {
      this.#grants.push(entry.name);
      return [];
    }
    if (entry.owner === '' || this.#facts.owners.includes(entry.owner) || !OWNER.test(entry.sql))
      return [entry];
    this.#others.add(entry.owner);
    return [{ ...entry, sql: entry.sql.replace(OWNER, '') }];
  }

  notes(): string[] {
    return [
      ...(this.#leftOut.size > 0
        ? [`${this.#leftOut.size} definitions in Supabase’s own schemas are left as they are in the project`]
        : []),
      ...(this.#lacking.length > 0
        ? [`the project lacks, and nothing may be made there by its user: ${this.#lacking.join(', ')}`]
        : []),
      ...(this.#others.size > 0
        ? [`objects of ${[...this.#others].sort().join(', ')} will belong to the role that restores`]
        : []),
      ...(this.#grants.length > 0
        ? [`privileges granted by other roles are left out: ${this.#grants.slice(0, 5).join(', ')}`]
        : []),
    ];
  }

  #isLacking({ type, schema, name }: SchemaEntry): boolean {
    if (RELATIONS.has(type)) return !this.#facts.relations.includes(`${schema}.${name}`);
    // The list has a function's arguments in its name; of those with one name, any will do.
    return FUNCTIONS.has(type) && !this.#facts.functions.includes(`${schema}.${name.replace(/\(.*$/s, '')}`);
  }

  /** A trigger goes with its function, and with its table when that is the user's. */
  #isReplaced(trigger: string): boolean {
    if (this.#replaced === undefined) return false;
    const runs = this.#facts.triggerFunctions[this.#facts.triggers.indexOf(trigger)];
    return !isPlatformSchema(trigger.split('.')[0] ?? '') || this.#replaced.has(`${runs}()`);
  }

  #isThere(entry: SchemaEntry): boolean {
    const { type, name, schema } = entry;
    const facts = this.#facts;
    if (SATELLITE.has(type) && entry.dependencies.some((id) => this.#leftOut.has(id))) return true;
    switch (type) {
      case 'SCHEMA':
        return facts.schemas.includes(name);
      case 'EXTENSION':
        return facts.extensions.includes(name);
      case 'EVENT TRIGGER':
        return facts.eventTriggers.includes(name);
      case 'PUBLICATION':
        return facts.publications.includes(name);
      case 'TRIGGER':
        return facts.triggers.includes(`${schema}.${name}`) && !this.#isReplaced(`${schema}.${name}`);
      case 'POLICY':
        return facts.policies.includes(`${schema}.${name}`) && this.#replaced === undefined;
      case 'COMMENT':
        return /^(?:EXTENSION|EVENT TRIGGER) /.test(name) || isPlatformSchema(schema);
      case 'DEFAULT ACL':
        return (
          isPlatformSchema(schema) || (isPlatformRole(entry.owner) && !facts.owners.includes(entry.owner))
        );
      default:
        return isPlatformSchema(schema) || (SATELLITE.has(type) && isPlatformSchema(schemaNamed(name)));
    }
  }
}

/** `SCHEMA "auth"`, as comments and grants on a schema are called. */
function schemaNamed(name: string): string {
  return /^SCHEMA "?(.*?)"?$/.exec(name)?.[1] ?? '';
}
