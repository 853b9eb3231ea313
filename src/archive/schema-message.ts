import { z } from 'zod';
import { parseDocument } from './document.ts';

/** `pg_catalog.char` columns, as the catalog has them. */
const flag = z.string();

const sequenceSchema = z.object({
  type: z.string(),
  start: z.string(),
  increment: z.string(),
  max: z.string(),
  min: z.string(),
  cache: z.string(),
  cycle: z.boolean(),
});
export type SequenceOptions = z.infer<typeof sequenceSchema>;

const columnSchema = z.object({
  number: z.number(),
  name: z.string(),
  type: z.string(),
  notNull: z.boolean(),
  /** Of a generated column, what it is generated as. */
  default: z.string().optional(),
  identity: flag.optional(),
  generated: flag.optional(),
  identitySequence: sequenceSchema.extend({ name: z.string() }).optional(),
  collation: z.string().optional(),
  storage: flag.optional(),
  /** What rows have in it that are older than the column: no later evaluation of a default gives that again. */
  missing: z.string().optional(),
  comment: z.string().optional(),
  inherited: z.boolean().optional(),
  notLocal: z.boolean().optional(),
});
export type ColumnDescription = z.infer<typeof columnSchema>;

const constraintSchema = z.object({
  name: z.string(),
  type: flag,
  definition: z.string(),
  validated: z.boolean().optional(),
  deferrable: z.boolean().optional(),
  deferred: z.boolean().optional(),
  inherited: z.boolean().optional(),
});
export type ConstraintDescription = z.infer<typeof constraintSchema>;

const indexSchema = z.object({
  name: z.string(),
  definition: z.string(),
  primary: z.boolean(),
  replicaIdentity: z.boolean(),
  valid: z.boolean(),
  inherited: z.boolean().optional(),
  isConstraint: z.boolean().optional(),
});
export type IndexDescription = z.infer<typeof indexSchema>;

const policySchema = z.object({
  name: z.string(),
  command: flag,
  permissive: z.boolean(),
  roles: z.array(z.string()),
  using: z.string().optional(),
  check: z.string().optional(),
});
export type PolicyDescription = z.infer<typeof policySchema>;

/** A relation as `sql/source/describe.sql` says it. */
const relationSchema = z.object({
  oid: z.string(),
  schema: z.string(),
  name: z.string(),
  kind: flag,
  persistence: flag,
  owner: z.string(),
  replicaIdentity: flag,
  options: z.array(z.string()).optional(),
  rowSecurity: z.boolean(),
  forceRowSecurity: z.boolean(),
  comment: z.string().optional(),
  ofType: z.string().optional(),
  partitionKey: z.string().optional(),
  partitionBound: z.string().optional(),
  parents: z.array(z.string()).optional(),
  partitions: z.array(z.object({ relation: z.string(), bound: z.string().optional() })).optional(),
  definition: z.string().optional(),
  populated: z.boolean().optional(),
  sequence: sequenceSchema.optional(),
  ownedBy: z.object({ table: z.string(), column: z.string(), isIdentity: z.boolean() }).optional(),
  columns: z.array(columnSchema).optional(),
  constraints: z.array(constraintSchema).optional(),
  indexes: z.array(indexSchema).optional(),
  triggers: z
    .array(
      z.object({
        name: z.string(),
        enabled: flag,
        definition: z.string(),
        inherited: z.boolean().optional(),
      }),
    )
    .optional(),
  policies: z.array(policySchema).optional(),
  rules: z.array(z.object({ name: z.string(), definition: z.string() })).optional(),
});
export type RelationDescription = z.infer<typeof relationSchema>;

/** A type, as `describe_type` says it. */
const typeSchema = z.object({
  oid: z.string(),
  schema: z.string(),
  name: z.string(),
  kind: flag,
  owner: z.string(),
  labels: z.array(z.string()).optional(),
  base: z.string().optional(),
  notNull: z.boolean().optional(),
  default: z.string().optional(),
  collation: z.string().optional(),
  constraints: z.array(constraintSchema).optional(),
  attributes: z
    .array(z.object({ name: z.string(), type: z.string(), collation: z.string().optional() }))
    .optional(),
});
export type TypeDescription = z.infer<typeof typeSchema>;

/** What is neither: `kind` is a word of ours there, and one of the catalog's letters for types. */
const otherSchema = z.object({
  oid: z.string().optional(),
  schema: z.string().optional(),
  name: z.string(),
  kind: z.enum(['function', 'schema', 'extension', 'statistics']),
  signature: z.string().optional(),
  owner: z.string().optional(),
  definition: z.string().optional(),
});
export type OtherDescription = z.infer<typeof otherSchema>;

const objectSchema = z.object({
  command: z.string(),
  type: z.string(),
  schema: z.string().optional(),
  identity: z.string().optional(),
  inExtension: z.boolean().optional(),
  oid: z.string().optional(),
  isColumn: z.boolean().optional(),
  /** Of COMMENT, and absent for one that is taken away. */
  comment: z.string().optional(),
  details: z.union([otherSchema, typeSchema]).optional().catch(undefined),
});
export type ChangedObject = z.infer<typeof objectSchema>;

const droppedSchema = z.object({
  type: z.string(),
  schema: z.string().optional(),
  name: z.string().optional(),
  identity: z.string(),
  names: z.array(z.string()).optional(),
  original: z.boolean(),
});
export type DroppedObject = z.infer<typeof droppedSchema>;

const head = {
  tag: z.string(),
  xid: z.string(),
  /** It was too long: only that something changed is known. */
  cut: z.boolean().optional(),
};

const messageSchema = z.discriminatedUnion('kind', [
  z.object({
    ...head,
    kind: z.literal('ddl'),
    objects: z.array(objectSchema).default([]),
    relations: z.array(relationSchema).default([]),
  }),
  z.object({ ...head, kind: z.literal('drop'), objects: z.array(droppedSchema).default([]) }),
  z.object({
    ...head,
    kind: z.literal('rewrite'),
    relation: z.object({ oid: z.string(), schema: z.string(), name: z.string() }),
  }),
]);
export type SchemaMessage = z.infer<typeof messageSchema>;

const DIGEST_CHARACTERS = 64;

/** Since then a description has all that a replay needs. */
const FIRST_VERSION = 2;

/**
 * Reads a message that was proven to be ours: digest, newline, JSON. Undefined for those of functions that recorded
 * too little. Fails with `integrity.format`.
 */
export function parseSchemaMessage(content: Buffer): SchemaMessage | undefined {
  const body = content.subarray(DIGEST_CHARACTERS + 1);
  const name = 'a message tidemark:ddl';
  const { version } = parseDocument(body, name, z.object({ version: z.number() }));
  return version < FIRST_VERSION ? undefined : parseDocument(body, name, messageSchema);
}

/** What the functions of `sql/source/describe.sql` say on a target, as the messages of a source have it. */
export function parseRelationDescription(text: string): RelationDescription {
  return parseDocument(Buffer.from(text), 'the description of a relation', relationSchema);
}

export function parseTypeDescription(text: string): TypeDescription {
  return parseDocument(Buffer.from(text), 'the description of a type', typeSchema);
}

export function parseOtherDescription(text: string): OtherDescription {
  return parseDocument(Buffer.from(text), 'the description of an object', otherSchema);
}
