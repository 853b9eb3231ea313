import { expect, test } from 'vitest';
import { databaseStatements, partDatabase } from '../../../src/restore/database-properties.ts';
import type { SchemaEntry } from '../../../src/restore/schema-script.ts';

const entry = (dumpId: number, type: string, sql: string, more: Partial<SchemaEntry> = {}): SchemaEntry => ({
  dumpId,
  type,
  sql,
  catalogOid: '0',
  oid: '0',
  dependencies: [],
  name: '',
  schema: '-',
  owner: 'me',
  tableAccessMethod: undefined,
  ...more,
});
const made = entry(1, 'DATABASE', 'CREATE DATABASE "a" …;\n\n\nALTER DATABASE a OWNER TO me;\n\n\\connect a');
const statements = (...more: SchemaEntry[]) => databaseStatements([made, ...more], { database: 'b "c"' });

test('entries of the database are those that pg_dump keeps with it', () => {
  const entries = [
    made,
    entry(2, 'DATABASE PROPERTIES', ''),
    entry(3, 'COMMENT', '', { dependencies: [1] }),
    entry(4, 'ACL', '', { dependencies: [1] }),
    entry(5, 'TABLE', ''),
    entry(6, 'COMMENT', '', { dependencies: [5], name: 'DATABASE "a"' }),
  ];
  const { database, rest } = partDatabase(entries);
  expect(database.map((one) => one.dumpId)).toEqual([1, 2, 3, 4]);
  expect(rest.map((one) => one.dumpId)).toEqual([5, 6]);
});

test('statements get the target’s name, whatever their values hold; what follows in the script is none', () => {
  const sql = [
    'ALTER DATABASE "a" SET "my.text" TO E\'\\\'; ALTER DATABASE "a" SET x TO \\\\\';',
    `ALTER DATABASE "a" SET "p" TO 'ON DATABASE "a"', '";';`,
    'ALTER ROLE "r;" IN DATABASE "a" SET "work_mem" TO \'1MB\';',
    'ALTER DATABASE "a" CONNECTION LIMIT = 5;',
    '\\unrestrict it\n\\connect a\nSET lock_timeout = 0;',
  ].join('\n');
  expect(statements(entry(2, 'DATABASE PROPERTIES', sql))).toEqual([
    { sql: 'ALTER DATABASE "b ""c""" OWNER TO "me"', about: 'owner me', role: 'me' },
    {
      sql: 'ALTER DATABASE "b ""c""" SET "my.text" TO E\'\\\'; ALTER DATABASE "a" SET x TO \\\\\'',
      about: 'setting my.text',
    },
    { sql: `ALTER DATABASE "b ""c""" SET "p" TO 'ON DATABASE "a"', '";'`, about: 'setting p' },
    {
      sql: 'ALTER ROLE "r;" IN DATABASE "b ""c""" SET "work_mem" TO \'1MB\'',
      about: 'setting work_mem of role r;',
      role: 'r;',
    },
    { sql: 'ALTER DATABASE "b ""c""" CONNECTION LIMIT = 5', about: 'connection limit' },
  ]);
});

test('privileges come last; those that other roles than the owner granted are not said', () => {
  const acl = [
    'REVOKE CONNECT,TEMPORARY ON DATABASE "a" FROM PUBLIC;',
    'GRANT CONNECT ON DATABASE "a" TO "app" WITH GRANT OPTION;',
    'SET SESSION AUTHORIZATION "app";\nGRANT CONNECT ON DATABASE "a" TO "other";\nRESET SESSION AUTHORIZATION;',
  ].join('\n');
  const found = statements(
    entry(3, 'ACL', acl, { dependencies: [1] }),
    entry(4, 'COMMENT', 'COMMENT ON DATABASE "a" IS \'it\';', { dependencies: [1] }),
    entry(5, 'SECURITY LABEL', 'SECURITY LABEL FOR selinux ON DATABASE "a" IS \'x\';'),
  );
  expect(found.map(({ about }) => about)).toEqual([
    'owner me',
    'comment',
    'security label',
    'privileges of everyone',
    'privileges of role app',
  ]);
  expect(found.at(-1)?.sql).toBe('GRANT CONNECT ON DATABASE "b ""c""" TO "app" WITH GRANT OPTION');
});

test('without owners the archive names none', () => {
  const bare = entry(1, 'DATABASE', 'CREATE DATABASE "a" …;');
  expect(databaseStatements([bare], { database: 'b' })).toEqual([]);
});
