import { expect, test } from 'vitest';
import type { Connection } from '../../../src/postgres/connection.ts';
import { tablesBelow } from '../../../src/restore/load-data.ts';
import type { SchemaEntry } from '../../../src/restore/schema-script.ts';
import { shareOut } from '../../../src/restore/share-out.ts';
import type { Task } from '../../../src/restore/share-out.ts';

const never = new AbortController().signal;
/** Only names stand for connections here: what a task does with one is the task's. */
const connections = ['one', 'two'] as unknown as Connection[];
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('a task runs once, not before it is ready, and all connections work', async () => {
  const ended: string[] = [];
  const used = new Set<Connection>();
  const task = (name: string, needs: readonly string[] = []): Task => ({
    isReady: () => needs.every((need) => ended.includes(need)),
    run: async (connection) => {
      used.add(connection);
      await turn();
      ended.push(name);
    },
  });
  await shareOut(connections, [task('c', ['a', 'b']), task('a'), task('b'), task('d', ['c'])], never);
  expect(ended.slice(0, 2).sort()).toEqual(['a', 'b']);
  expect(ended.slice(2)).toEqual(['c', 'd']);
  expect(used.size).toBe(2);
});

test('after a failure nothing new is begun, and what is under way ends first', async () => {
  const begun: string[] = [];
  let ended = false;
  const tasks: Task[] = [
    { run: () => Promise.reject(new Error('first')) },
    {
      run: async () => {
        begun.push('second');
        await turn();
        ended = true;
      },
    },
    { run: () => Promise.resolve(void begun.push('third')) },
  ];
  await expect(shareOut(connections, tasks, never)).rejects.toThrow('first');
  expect(begun).toEqual(['second']);
  expect(ended).toBe(true);
});

test('tasks that wait for each other are an error, not a stand-still', async () => {
  const stuck: Task = { isReady: () => false, run: () => Promise.resolve() };
  await expect(shareOut(connections, [stuck], never)).rejects.toThrow(/wait/);
});

test('an index needs the rows of its own table; one of unknown needs waits for all', () => {
  const entry = (dumpId: number, more: Partial<SchemaEntry>): SchemaEntry => ({
    dumpId,
    catalogOid: '1259',
    oid: String(100 + dumpId),
    dependencies: [],
    name: '',
    type: 'TABLE',
    schema: 's',
    owner: 'o',
    sql: '',
    tableAccessMethod: undefined,
    ...more,
  });
  const preData = [entry(1, {}), entry(2, {}), entry(3, { type: 'FUNCTION' })];
  const below = tablesBelow(preData, [{ oid: 101, number: 7 }]);
  expect(below(entry(4, { type: 'INDEX', dependencies: [3, 1] }))).toEqual([7]);
  // A partitioned parent has no rows of its own.
  expect(below(entry(5, { type: 'INDEX', dependencies: [2] }))).toEqual([]);
  expect(below(entry(6, { type: 'INDEX', dependencies: [3] }))).toBeUndefined();
});
