/** Code of a client that does not end where it is applied, and does not let itself be canceled: nobody is held up for ever. */
import { beforeAll, expect, it } from 'vitest';
import { Applier, ApplyDiverged, failedIn, type LeftOut } from '../../../src/multiwriter/engine/index.js';
import { connectAdmin } from '../../../src/engine/index.js';
import { useTwoWriters } from './writers.js';

const { a, b, onBoth, areEqual, by } = await useTwoWriters();
/** In PL/pgSQL: what catches everything but query_canceled and assert_failure, and here those, too. */
const stubborn = (name: string, returns: string): string =>
  `create function ${name}(n int) returns ${returns} immutable language plpgsql as $$ begin
     while public.elsewhere() loop
       begin perform pg_sleep(3600); exception when query_canceled then null; end;
     end loop;
     return n; end $$`;
beforeAll(async () => {
  await onBoth('create role owner', 'grant all on schema public to owner');
  await by(
    'owner',
    `create function elsewhere() returns boolean language sql as $$ select session_user = 'dbproxy_apply' $$`,
    stubborn('stubborn', 'int'),
    stubborn('stubborn_boolean', 'boolean').replace('return n;', 'return n is not null;'),
    `create function slow(n int) returns int immutable language plpgsql as $$ begin if public.elsewhere() then perform pg_sleep(3600); end if; return n; end $$`,
  );
});

/** Once, on connections of its own, which may be ended. */
async function tryOnce(
  { at, writeSet }: NonNullable<Awaited<ReturnType<typeof a.write>>>,
  how: LeftOut = {},
  endless = new Set<number>(),
): Promise<unknown> {
  const connect = () => connectAdmin(b.engine, { timeoutMs: 60_000 });
  const connections = [await connect(), await connect()] as const;
  try {
    const applier = await Applier.on(b.id, ...connections, {
      ...{ endless, codeMs: 20, definitionMs: 100 },
    });
    const entries = [{ lsn: at, payload: writeSet.payload }];
    return await applier.apply(entries, () => undefined, how).catch((error: unknown) => error);
  } finally {
    for (const connection of connections) await connection.end().catch(() => undefined);
  }
}

it.each([
  ['a check', 'checked', 'create table checked (k int primary key, n int check (stubborn_boolean(n)))'],
  [
    'an index',
    'indexed',
    'create table indexed (k int primary key, n int); create index on indexed (stubborn(n))',
  ],
])('what a row brings to run, by %s: it is applied without', async (_, table, definitions) => {
  await by('owner', ...definitions.split('; '));
  const endless = new Set<number>();
  const written = (await a.write(`insert into ${table} values (1, 1)`))!;
  expect(await tryOnce(written, {}, endless)).toMatchObject({ severity: 'FATAL', code: '57P01' });
  let withoutIndexes: number[] = [];
  for (let tries = 0; ; tries++) {
    const outcome = await tryOnce(written, { withoutIndexes }, endless);
    if (Array.isArray(outcome)) break;
    expect(tries).toBe(0);
    expect(outcome).toMatchObject({ severity: 'FATAL' });
    withoutIndexes = [failedIn(outcome)!];
  }
  // It is known by now.
  const next = (await a.write(`insert into ${table} values (2, 2)`))!;
  expect(await tryOnce(next, {}, endless)).toEqual([true]);
  await areEqual();
});

it.each([
  ['an index', 'defines_index', 'create index on defines_index (slow(n))'],
  ['an index, and is not canceled', 'stays_index', 'create index on stays_index (stubborn(n))'],
  ['a check', 'defines_check', 'alter table defines_check add check (stubborn_boolean(n))'],
  [
    'a new column',
    'defines_column',
    'alter table defines_column add m int generated always as (stubborn(n)) stored',
  ],
  [
    'a materialized view',
    'defines_view',
    'create materialized view defined_view as select slow(n) from defines_view',
  ],
])('what a definition runs, for %s: this writer stops', async (_, table, definition) => {
  await by('owner', `create table ${table} (k int primary key, n int)`, `insert into ${table} values (1, 1)`);
  const error = await tryOnce((await a.write(definition))!);
  expect(error).toBeInstanceOf(ApplyDiverged);
  expect((error as Error).message).toMatch(/the definition had not ended after/);
  // What it holds another one up with is gone.
  await b.watcher.query(`set lock_timeout = '20s'; lock table public.${table}; reset lock_timeout`);
});
