/** Tables of every kind that a replay must carry, and random transactions on them. */
export const SCHEMA = `
CREATE SCHEMA "Odd ""s";
CREATE TYPE mood AS ENUM ('sad', 'ok', 'hap''py'); CREATE DOMAIN email AS text CHECK (VALUE LIKE '%@%');
CREATE DOMAIN small_money AS numeric(12, 4); CREATE TYPE place AS (street text, number int, tags text[]);
CREATE FUNCTION mood_of(text) RETURNS mood LANGUAGE sql IMMUTABLE AS $$ SELECT 'sad'::mood $$;
CREATE CAST (text AS mood) WITH FUNCTION mood_of(text) AS ASSIGNMENT;
CREATE TABLE kinds (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, i8 int8, i2 int2, n numeric, n2 numeric(12, 3), d small_money,
  f8 float8, f4 float4, at timestamptz, lt timestamp, dt date, ti timetz, iv interval, j json, jb jsonb, b bytea, a int[], ta text[],
  m mood, ma mood[], c place, ca place[], e email, tv tsvector, mo money, bo bool, bp char(5), vc varchar(40), vb varbit, b4 bit(4),
  r int4range, u uuid, ip inet, ci cidr, cc "char", nm name, pt point, x text COLLATE "C",
  g int GENERATED ALWAYS AS (coalesce(i2, 0) * 2) STORED);
CREATE TABLE toasted (id int PRIMARY KEY, small int, big text, big2 text);
ALTER TABLE toasted ALTER big SET STORAGE EXTERNAL, ALTER big2 SET STORAGE EXTERNAL;
CREATE TABLE whole (a int, j json, t text, p point, bo bool, bp char(4), ip inet, big text);
ALTER TABLE whole REPLICA IDENTITY FULL; ALTER TABLE whole ALTER big SET STORAGE EXTERNAL;
CREATE TABLE keyed_full (id int PRIMARY KEY, v text, n numeric); ALTER TABLE keyed_full REPLICA IDENTITY FULL;
CREATE TABLE uniq (id int PRIMARY KEY, u int UNIQUE, v text, w int, EXCLUDE USING btree (w WITH =));
CREATE UNIQUE INDEX ON uniq (lower(v), id);
CREATE TABLE later (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, k int NOT NULL UNIQUE, v text);
ALTER TABLE later REPLICA IDENTITY USING INDEX later_k_key;
CREATE TABLE by_index (id int GENERATED ALWAYS AS IDENTITY, code text NOT NULL, v int); CREATE UNIQUE INDEX by_index_code ON by_index (code);
ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_code;
CREATE TABLE pair (a text, n numeric, at timestamptz, v int, PRIMARY KEY (a, n, at));
CREATE TABLE plain (id int PRIMARY KEY, v text);
CREATE TABLE parted (id int, v text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (MINVALUE) TO (100);
CREATE TABLE parted_high (v text, gone int, id int NOT NULL); ALTER TABLE parted_high DROP COLUMN gone;
ALTER TABLE parted ATTACH PARTITION parted_high FOR VALUES FROM (100) TO (MAXVALUE);
CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id serial PRIMARY KEY, p int REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE keyless (v text, at timestamptz);
CREATE TABLE nothing ();
CREATE TABLE "Odd ""s"."t .t" ("a ""b" int PRIMARY KEY, "ü'\\" text, "select" int);
CREATE TABLE bulk (id int PRIMARY KEY, v text);
CREATE INDEX ON kinds (i8); CREATE INDEX ON plain (v);
`;

/** Seeded, so that a failure can be had again (mulberry32). */
export function randomness(seed: number): {
  int: (below: number) => number;
  pick: <T>(of: readonly T[]) => T;
} {
  let state = seed;
  const int = (below: number): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296) * below);
  };
  return { int, pick: (of) => of[int(of.length)]! };
}

type Random = ReturnType<typeof randomness>;

const TEXTS = [
  "''",
  "'a\\b'",
  "E'tab\\tline\\ncr\\r\\\\.'",
  "'\\N'",
  "'\\.'",
  "'é😀'",
  "'NULL'",
  'NULL',
  `'"q", {x}'`,
];
const KINDS_VALUES: Readonly<Record<string, readonly string[]>> = {
  i8: ['9223372036854775807', '-9223372036854775808', 'NULL', '0'],
  i2: ['32767', '-1', 'NULL'],
  n: [
    "'NaN'",
    "'Infinity'",
    '1e-16383',
    '1e131071',
    '-0.000',
    '12345678901234567890.123456789',
    '1.0',
    '1.00',
  ],
  n2: ['1.500', 'NULL', '-99999.999'],
  d: ['0.1234', 'NULL'],
  f8: ["'NaN'", "'-Infinity'", '5e-324', '1.7976931348623157e308', "'-0'", '0.1'],
  f4: ["'NaN'", '1e-45', '3.4028235e38', "'-0'"],
  at: [
    "'infinity'",
    "'-infinity'",
    "'2026-11-23 10:01:59.123456+00'",
    "'4714-11-24 00:00:00+00 BC'",
    "'294276-12-31 23:59:59.999999+00'",
  ],
  lt: ["'infinity'", "'0044-03-15 12:00:00.000001 BC'"],
  dt: ["'infinity'", "'5874897-12-31'", "'0001-01-01 BC'"],
  ti: ["'24:00:00+15:59'", "'00:00:00.000001-03'"],
  iv: ["'-1 year 2 mons -3 days 04:05:06.789'", "'178000000 years'", 'NULL'],
  j: [`'{"n": 12345678901234567890.10, "n": 2, "s":  "\\u0041"}'`, "'null'", "' [1 , 2]'"],
  jb: [`'{"n": 12345678901234567890.10, "a": [null]}'`, "'null'", '\'"\\t"\''],
  b: ["'\\x00ff5c0a'", "''", 'NULL'],
  a: ["'{1,NULL,3}'", "'{}'", "'[0:1][2:3]={{1,2},{3,4}}'"],
  ta: [`'{"a,b",NULL,"NULL","q\\"\\\\",""}'`, 'NULL'],
  m: ["'ok'", `'hap''py'`, 'NULL'],
  ma: [`'{ok,NULL,hap''py}'`],
  c: [`ROW('a "b", c', NULL, '{x,NULL}')`, 'ROW(NULL, NULL, NULL)', 'NULL'],
  ca: [`ARRAY[ROW('a,b', 1, NULL)::place, NULL]`],
  e: ["'a@b'", 'NULL'],
  tv: [`'fat:1A,2B ''it''''s'':3'`, "''"],
  mo: ["'-92233720368547758.08'", "'1.5'"],
  bo: ['true', 'false', 'NULL'],
  bp: ["'ab'", "''", "'abcde'"],
  vb: ["B'10110'", "B''"],
  b4: ["B'1010'"],
  r: ["'[1,5)'", "'empty'", "'(,)'"],
  u: ['gen_random_uuid()'],
  ip: ["'10.0.0.1'", "'10.0.0.1/8'", "'::1'"],
  ci: ["'10.0.0.0/8'"],
  cc: ["'x'", "''"],
  nm: ["'name'"],
  pt: ["'(1.5,-0)'", 'NULL'],
  x: TEXTS,
  vc: TEXTS,
};

const text = (random: Random): string => random.pick(TEXTS);
const id = (random: Random): number => random.int(200);
const big = (random: Random): string => `repeat(md5('${random.int(9)}'), ${random.pick([0, 1, 120, 400])})`;
/** Some row of a table, the same for the same state and number. */
const one = (table: string, key: string, random: Random): string =>
  `(SELECT ${key} FROM ${table} ORDER BY md5(${key}::text || '${random.int(1000)}') LIMIT 1)`;

function kindsRow(random: Random): { columns: string; values: string } {
  const names = Object.keys(KINDS_VALUES).filter(() => random.int(3) > 0);
  if (names.length === 0) names.push('i8');
  return {
    columns: names.join(', '),
    values: names.map((name) => random.pick(KINDS_VALUES[name]!)).join(', '),
  };
}

/** One statement, or some; each may fail for what other sessions do. */
const OPERATIONS: readonly ((random: Random) => string)[] = [
  (random) => {
    const { columns, values } = kindsRow(random);
    return `INSERT INTO kinds (${columns}) VALUES (${values})`;
  },
  (random) => {
    const { columns, values } = kindsRow(random);
    return `UPDATE kinds SET (${columns}) = ROW(${values}) WHERE id = ${one('kinds', 'id', random)}`;
  },
  (random) => `UPDATE kinds SET id = DEFAULT WHERE id = ${one('kinds', 'id', random)}`,
  (random) => `DELETE FROM kinds WHERE id = ${one('kinds', 'id', random)}`,
  (random) =>
    `INSERT INTO toasted VALUES (${id(random)}, 1, ${big(random)}, ${big(random)}) ON CONFLICT (id) DO UPDATE SET small = toasted.small + 1`,
  (random) => `UPDATE toasted SET small = ${id(random)} WHERE id % 3 = ${random.int(3)}`,
  (random) => `UPDATE toasted SET big = ${big(random)} WHERE id = ${one('toasted', 'id', random)}`,
  (random) => `UPDATE toasted SET id = id + 1000 WHERE id = ${one('toasted', 'id', random)} AND id < 1000`,
  (random) => `DELETE FROM toasted WHERE id = ${one('toasted', 'id', random)}`,
  (random) =>
    `INSERT INTO whole SELECT ${random.int(3)}, '{"a": 1}', ${text(random)}, '(1,2)', ${random.pick(['true', 'false', 'NULL'])}, 'ab', '10.0.0.1', ${big(random)} FROM generate_series(1, ${1 + random.int(4)})`,
  (random) =>
    `UPDATE whole SET a = ${random.int(3)}, t = ${text(random)} WHERE ctid = ${one('whole', 'ctid', random)}`,
  (random) => `UPDATE whole SET bo = NOT bo WHERE a = ${random.int(3)}`,
  (random) => `DELETE FROM whole WHERE ctid = ${one('whole', 'ctid', random)}`,
  (random) => `DELETE FROM whole WHERE a = ${random.int(3)} AND random() < 0.3`,
  (random) =>
    `INSERT INTO keyed_full VALUES (${id(random)}, ${text(random)}, 1.10) ON CONFLICT (id) DO UPDATE SET n = keyed_full.n + 1`,
  () => `UPDATE keyed_full SET id = id + 1 WHERE id = (SELECT max(id) FROM keyed_full)`,
  (random) => `DELETE FROM keyed_full WHERE id = ${one('keyed_full', 'id', random)}`,
  (random) => {
    const n = 1 + random.int(5000);
    return `INSERT INTO uniq VALUES (${n}, ${n}, ${text(random)}, ${n}) ON CONFLICT DO NOTHING`;
  },
  // Two rows trade unique values; a shift, from above, since the constraint is immediate.
  () =>
    `DO $$ DECLARE a int; b int; ua int; ub int; BEGIN SELECT min(id), max(id) INTO a, b FROM uniq; IF a < b THEN
      SELECT u INTO ua FROM uniq WHERE id = a FOR UPDATE; SELECT u INTO ub FROM uniq WHERE id = b FOR UPDATE;
      UPDATE uniq SET u = -1, w = -1 WHERE id = a; UPDATE uniq SET u = ua, w = ua WHERE id = b; UPDATE uniq SET u = ub, w = ub WHERE id = a; END IF; END $$`,
  () =>
    'DO $$ DECLARE r record; BEGIN FOR r IN SELECT id FROM uniq ORDER BY u DESC LOOP UPDATE uniq SET u = u + 1, w = w + 1 WHERE id = r.id; END LOOP; END $$',
  () =>
    `DO $$ DECLARE a int; b int; BEGIN SELECT min(id), max(id) INTO a, b FROM uniq; IF a < b THEN
      UPDATE uniq SET id = -1 WHERE id = a; UPDATE uniq SET id = a WHERE id = b; UPDATE uniq SET id = b WHERE id = -1; END IF; END $$`,
  // Updates of two kinds, of which the second gets what the first gave up.
  (random) =>
    `DO $$ DECLARE ids int[]; given int; BEGIN SELECT array_agg(id) INTO ids FROM (SELECT id FROM uniq ORDER BY md5(id::text || '${random.int(1000)}') LIMIT 3) AS s;
      IF cardinality(ids) = 3 THEN UPDATE uniq SET id = id + 10000 WHERE id = ids[1]; SELECT u INTO given FROM uniq WHERE id = ids[2];
      UPDATE uniq SET u = -u - 100000, w = NULL WHERE id = ids[2]; UPDATE uniq SET id = id + 10000, u = given WHERE id = ids[3]; END IF; END $$`,
  (random) =>
    `INSERT INTO later VALUES (${id(random)}, ${id(random)}, ${text(random)}) ON CONFLICT (k) DO NOTHING`,
  () => 'UPDATE later SET id = -id',
  (random) => `UPDATE later SET k = k + 1000 WHERE k = ${one('later', 'k', random)}`,
  (random) =>
    `INSERT INTO by_index (code, v) VALUES ('c${id(random)}', 1) ON CONFLICT (code) DO UPDATE SET v = by_index.v + 1`,
  (random) => `UPDATE by_index SET id = DEFAULT, v = 0 WHERE code = ${one('by_index', 'code', random)}`,
  (random) => `UPDATE by_index SET code = code || '!' WHERE code = ${one('by_index', 'code', random)}`,
  (random) =>
    `INSERT INTO pair VALUES (coalesce(${text(random)}, ''), ${random.pick(['1.0', '1.00', '2', "'NaN'"])}, ${random.pick(["'infinity'", "'2026-01-01 00:00:00.000001Z'"])}, 0) ON CONFLICT (a, n, at) DO UPDATE SET v = pair.v + 1, n = excluded.n`,
  (random) => `DELETE FROM pair WHERE a = ${one('pair', 'a', random)}`,
  (random) =>
    `INSERT INTO plain VALUES (${id(random)}, ${text(random)}) ON CONFLICT (id) DO UPDATE SET v = excluded.v`,
  (random) => `UPDATE plain SET id = id + 200 WHERE id = ${one('plain', 'id', random)}`,
  (random) => `DELETE FROM plain WHERE id = ${one('plain', 'id', random)}`,
  (random) =>
    `INSERT INTO parted VALUES (${id(random)}, ${text(random)}) ON CONFLICT (id) DO UPDATE SET v = excluded.v`,
  (random) => `UPDATE parted SET id = 199 - id WHERE id = ${one('parted', 'id', random)}`,
  (random) => `INSERT INTO parent VALUES (${id(random)}) ON CONFLICT DO NOTHING`,
  (random) => `INSERT INTO child (p) SELECT id FROM parent WHERE id = ${one('parent', 'id', random)}`,
  (random) => `DELETE FROM child WHERE p = ${one('parent', 'id', random)}`,
  (random) => `INSERT INTO keyless VALUES (${text(random)}, clock_timestamp())`,
  () => 'INSERT INTO nothing DEFAULT VALUES',
  (random) =>
    `INSERT INTO "Odd ""s"."t .t" VALUES (${id(random)}, ${text(random)}, 1) ON CONFLICT ("a ""b") DO UPDATE SET "select" = "Odd ""s"."t .t"."select" + 1`,
  (random) =>
    `INSERT INTO bulk SELECT n, md5(n::text) FROM generate_series(${random.int(20)} * 1000, ${random.int(20)} * 1000 + 500) n ON CONFLICT (id) DO UPDATE SET v = 'again'`,
];
const RARE: readonly ((random: Random) => string)[] = [
  () => 'TRUNCATE parent, child RESTART IDENTITY',
  () => 'TRUNCATE parent CASCADE',
  () => 'TRUNCATE parted',
  () => 'TRUNCATE keyless, nothing',
  () => 'TRUNCATE ONLY whole',
  () => 'DELETE FROM bulk WHERE id < 10000',
  () => "INSERT INTO bulk SELECT n, 'many' FROM generate_series(0, 9999) n ON CONFLICT (id) DO NOTHING",
];

/** Statements of one random transaction, BEGIN and end included; some roll back, wholly or to a savepoint. */
export function transaction(random: Random): string[] {
  const statements: string[] = ['BEGIN'];
  for (let left = 1 + random.int(6); left > 0; left -= 1) {
    const some = random.int(25) === 0 ? RARE : OPERATIONS;
    const statement = random.pick(some)(random);
    const fate = random.int(10);
    if (fate === 0) statements.push('SAVEPOINT s', statement, 'ROLLBACK TO s');
    else if (fate === 1) statements.push('SAVEPOINT s', statement, 'RELEASE s');
    else statements.push(statement);
  }
  statements.push(random.int(12) === 0 ? 'ROLLBACK' : 'COMMIT');
  return statements;
}
