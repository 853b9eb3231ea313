import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const SRC = fileURLToPath(new URL('../../src', import.meta.url));

/** DESIGN's floors, low to high. A room imports rooms of lower floors only, never sideways. */
const FLOORS: readonly (readonly string[])[] = [
  ['model'],
  ['runtime', 'pgoutput', 'archive'],
  ['storage', 'postgres', 'schedule'],
  ['catalog', 'server'],
  ['verify', 'retention', 'history', 'witness'],
  ['snapshot', 'capture', 'restore', 'replay'],
  ['recovery', 'monitor', 'doctor'],
  ['drill'],
  ['app'],
  ['cli'],
];
const IMPORT = /(?:from|import)\s*\(?\s*['"](\.{1,2}\/[^'"]+)['"]/g;

const floor = (room: string): number => FLOORS.findIndex((rooms) => rooms.includes(room));
const room = (path: string): string => path.split('/')[0] ?? '';

test('a room imports only rooms on lower floors', () => {
  const files = globSync('**/*.ts', { cwd: SRC });
  expect(files.length).toBeGreaterThan(80);
  let imports = 0;
  const violations = files.flatMap((file) => {
    expect(floor(room(file)), `${file} is in a room of a known floor`).toBeGreaterThanOrEqual(0);
    return [...readFileSync(join(SRC, file), 'utf8').matchAll(IMPORT)].flatMap((match) => {
      imports += 1;
      const to = room(normalize(join(dirname(file), match[1] ?? '')));
      const allowed = to === room(file) || floor(to) < floor(room(file));
      return allowed ? [] : [`${file}: ${room(file)} -> ${to}`];
    });
  });
  expect(imports).toBeGreaterThan(200);
  expect(violations).toEqual([]);
});

test('SQL that runs on any database is ASCII: a server may have no such character', () => {
  const root = fileURLToPath(new URL('../../sql', import.meta.url));
  const files = globSync('{introspect,source,target}/*.sql', { cwd: root });
  expect(files.length).toBeGreaterThan(8);
  const odd = files.filter((file) => readFileSync(join(root, file)).some((byte) => byte > 0x7f));
  expect(odd).toEqual([]);
});

test('each outside package has one owner room', () => {
  const OWNERS: Readonly<Record<string, readonly string[]>> = {
    pg: ['postgres'],
    'pg-copy-streams': ['postgres'],
    'pg-logical-replication': ['postgres'],
    execa: ['runtime', 'server'],
    '@aws-sdk/client-s3': ['storage'],
    '@aws-sdk/credential-providers': ['storage'],
    'tar-stream': ['archive'],
    'age-encryption': ['archive'],
    '@scure/base': ['archive'],
    zod: ['archive', 'catalog', 'app'],
    yaml: ['app'],
    commander: ['cli'],
    'node-cron': ['schedule'],
    nodemailer: ['monitor'],
    'nodemailer/lib/smtp-transport': ['monitor'],
    pino: ['runtime'],
    'cli-progress': ['cli'],
  };
  const found = new Set<string>();
  const violations = globSync('**/*.ts', { cwd: SRC }).flatMap((file) =>
    [...readFileSync(join(SRC, file), 'utf8').matchAll(/from '([^.'][^']*)'/g)].flatMap((match) => {
      const name = match[1] ?? '';
      if (name.startsWith('node:')) return [];
      found.add(name);
      return (OWNERS[name] ?? []).includes(room(file)) ? [] : [`${file}: ${name}`];
    }),
  );
  expect(found.size).toBeGreaterThan(6);
  expect(violations).toEqual([]);
});
