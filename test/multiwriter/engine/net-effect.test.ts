/** Changes of rows, told in whatever order, come to something that can be done again, and has the same outcome. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { checksums } from '../../../src/multiwriter/engine/index.js';
import { netEffect, type NetChange, type RowEvent } from '../../../src/multiwriter/engine/net-effect.js';
import { useTwoWriters } from './writers.js';

/** Tables with two unique keys, the second of which may be null. */
type Row = readonly [key: number, other: number | null, note: number];
interface Stored {
  readonly table: string;
  readonly row: Row;
  readonly at: string | null;
}

/** Refuses what unique indexes would. */
class Tables {
  rows: Stored[] = [];

  insert(stored: Stored): boolean {
    const [key, other] = stored.row;
    const isTaken = this.rows.some(
      ({ table, row }) => table === stored.table && (row[0] === key || (other !== null && row[1] === other)),
    );
    if (!isTaken) this.rows.push(stored);
    return !isTaken;
  }

  take(table: string, key: number): Stored | null {
    const found = this.rows.findIndex((one) => one.table === table && one.row[0] === key);
    return found < 0 ? null : (this.rows.splice(found, 1)[0] ?? null);
  }

  apply({ table, found, row }: NetChange): void {
    const old = found === null ? null : this.take(table, Number(found[0]));
    if (found !== null && !old) throw new Error(`no row ${found[0]} in ${table}`);
    if (row !== null && !this.insert({ table, row: JSON.parse(row) as Row, at: null }))
      throw new Error(`${row} is taken in ${table}`);
  }

  content(): string[] {
    return this.rows.map(({ table, row }) => JSON.stringify([table, row])).toSorted();
  }
}

const keysOf = (stored: Stored | null): (string | null)[] =>
  stored ? [String(stored.row[0]), stored.row[1] === null ? null : String(stored.row[1])] : [];
const eventOf = (table: string, old: Stored | null, fresh: Stored | null): RowEvent => ({
  table,
  oldAt: old?.at ?? null,
  newAt: fresh?.at ?? null,
  oldKeys: keysOf(old),
  newKeys: keysOf(fresh),
  excludes: false,
  found: old ? [String(old.row[0])] : null,
  row: fresh ? JSON.stringify(fresh.row) : null,
});

const key = fc.integer({ min: 0, max: 3 });
const operation = fc.record({
  table: fc.constantFrom('t', 'u'),
  kind: fc.constantFrom('insert', 'update', 'delete'),
  key,
  to: fc.tuple(key, fc.option(key), fc.nat({ max: 9 })),
});

it('whatever a transaction does, in whatever order it is told', () => {
  fc.assert(
    fc.property(
      fc.array(operation, { maxLength: 6 }),
      fc.array(operation, { maxLength: 14 }),
      fc.infiniteStream(fc.nat()),
      (before, during, random) => {
        const here = new Tables();
        let places = 0;
        const run = ({ table, kind, key, to }: (typeof before)[0]): RowEvent | null => {
          const fresh: Stored | null = kind === 'delete' ? null : { table, row: to, at: `(0,${++places})` };
          const old = kind === 'insert' ? null : here.take(table, key);
          if (kind !== 'insert' && !old) return null;
          if (fresh && !here.insert(fresh)) {
            if (old) here.rows.push(old);
            return null;
          }
          return eventOf(table, old, fresh);
        };
        before.forEach(run);
        const there = new Tables();
        there.rows = here.rows.map((stored) => ({ ...stored, at: null }));
        const events = during.map(run).filter((event) => event !== null);
        const told = events
          .map((event) => ({ event, by: random.next().value as number }))
          .toSorted((x, y) => x.by - y.by)
          .map(({ event }) => event);
        for (const change of netEffect(told) ?? told) there.apply(change);
        expect(there.content()).toEqual(here.content());
      },
    ),
    { numRuns: 2_000 },
  );
});

it('what no order matters to stays as it is', () => {
  const row = (n: number): Stored => ({ table: 't', row: [n, n, 0], at: `(0,${n})` });
  const insert = eventOf('t', null, row(1));
  const update = eventOf('t', row(2), { ...row(2), at: '(0,9)' });
  expect(netEffect([])).toBeNull();
  expect(netEffect([eventOf('t', row(1), row(2))])).toBeNull();
  expect(netEffect([insert, update, eventOf('t', row(3), null)])).toBeNull();
  expect(netEffect([insert, eventOf('u', { ...row(1), table: 'u' }, null)])).toBeNull();
});

it('tables in which other constraints than unique keys stand beside each other', () => {
  const range = (at: string, row: string, old: RowEvent | null = null): RowEvent => ({
    ...{ table: 't', oldAt: old?.newAt ?? null, newAt: at, oldKeys: old ? [row] : [], newKeys: [row] },
    ...{ excludes: true, found: old ? [row] : null, row },
  });
  const [one, two] = [range('(0,1)', '1'), range('(0,2)', '2')];
  const events = [range('(0,3)', '1', one), range('(0,4)', '2', two)];
  expect(netEffect(events)?.map(({ found, row }) => [found?.[0] ?? null, row])).toEqual([
    ['1', null],
    ['2', null],
    [null, '1'],
    [null, '2'],
  ]);
});

const { a, b, onBoth } = await useTwoWriters();
async function areEqual(): Promise<void> {
  expect(await checksums(b.watcher)).toEqual(await checksums(a.watcher));
}

it('a key that a statement gives up, and a function within it takes', async () => {
  await onBoth('create table x (k int primary key, v int unique)');
  await onBoth(
    `create function x_i(k int, v int) returns int language sql volatile as $$ insert into x values (k, v) returning k $$`,
    `insert into x select i, i from generate_series(1, 9) i`,
  );
  await onBoth('delete from x where k = 1 returning x_i(1, 1)');
  await onBoth('update x set k = 20 where k = 2 returning x_i(2, 22)');
  await onBoth('update x set v = 30 where k = 3 returning x_i(33, 3)');
  await onBoth('delete from x where k in (4, 5) returning x_i(k + 40, v)');
  await areEqual();
  expect(await a.rows('select k, v from public.x order by 1')).toEqual([
    [1, 1],
    [2, 22],
    [3, 30],
    [6, 6],
    [7, 7],
    [8, 8],
    [9, 9],
    [20, 2],
    [33, 3],
    [44, 4],
    [45, 5],
  ]);
});

it('keys that rows exchange, through others', async () => {
  await onBoth('create table y (k int primary key, v text)', `insert into y values (1, 'a'), (2, 'b')`);
  const written = await onBoth(
    'update y set k = 3 where k = 1',
    'update y set k = 1 where k = 2',
    'update y set k = 2 where k = 3',
  );
  await areEqual();
  expect(written!.writeSet.changes).toHaveLength(4);
  // The key that is in none of them at last is certified, too.
  expect(written!.writeSet.keys.filter(({ key }) => key.startsWith('public.y_pkey:'))).toHaveLength(3);
});

it('a row that is changed again and again is changed once', async () => {
  await onBoth('create table z (k int primary key, n int)', 'insert into z values (1, 0)');
  const changes = Array.from({ length: 20 }, () => 'update z set n = n + 1');
  const written = await onBoth(...changes, 'insert into z values (2, 2)', 'delete from z where k = 2');
  expect(written!.writeSet.changes).toEqual([
    { kind: 'update', table: 'public.z', key: ['1'], row: '(1,20)' },
  ]);
  await areEqual();
});

it('a row that goes to another partition, whose place another takes', async () => {
  await onBoth('create table p (k int, part int, primary key (k, part)) partition by list (part)');
  await onBoth('create table p1 partition of p for values in (1)');
  await onBoth('create table p2 partition of p for values in (2)');
  await onBoth('insert into p values (1, 1), (2, 2)');
  await onBoth(
    `create function p_i(k int, part int) returns int language sql volatile as $$ insert into p values (k, part) returning k $$`,
  );
  await onBoth('update p set part = 2 where k = 1 returning p_i(1, 1)');
  await onBoth('delete from p where k = 2 returning p_i(2, 2)');
  await areEqual();
});

it('rows whose places a command has changed meanwhile', async () => {
  await onBoth('create table c (k int primary key, n int)', 'create index c_n on c (n desc)');
  await onBoth('insert into c values (1, 1), (2, 2), (3, 3)');
  for (const cluster of ['cluster c using c_n', `do $$ begin execute 'cluster c using c_n'; end $$`]) {
    await onBoth(
      'set constraints all immediate',
      'update c set n = n + 10 where k <> 2',
      'update c set n = n + 10 where k = 1',
      cluster,
      'update c set n = -n where k = 3',
      'update c set n = n + 5',
    );
    await areEqual();
  }
});
