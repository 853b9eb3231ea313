import type { Manifest } from '../archive/manifest.ts';
import { displayRelation } from '../model/identifiers.ts';
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
 */
export function planIntoSupabase(
  plan: RestorePlan,
  facts: ProjectFacts,
  manifest: Pick<Manifest, 'server' | 'engine'>,
): RestorePlan {
  const fit = new Fitting(facts);
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
      ...(manifest.engine === 'pg_dump'
        ? ['a snapshot of engine pg_dump can’t be fitted into a Supabase project; use one of engine copy']
        : []),
    ],
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
  readonly #leftOut = new Set<number>();
  readonly #others = new Set<string>();
  readonly #grants: string[] = [];
  /** What a user has made in the platform's schemas, where a project's user may make nothing any more. */
  readonly #lacking: string[] = [];

  constructor(facts: ProjectFacts) {
    this.#facts = facts;
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
        return facts.triggers.includes(`${schema}.${name}`);
      case 'POLICY':
        return facts.policies.includes(`${schema}.${name}`);
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
