/** A function in an index, IMMUTABLE by its own word only, that does something else where its row is applied: the index is left out there. */
import { beforeAll, expect, it } from 'vitest';
import { Applier, failedIn } from '../../../src/multiwriter/engine/index.js';
import { connectAdmin } from '../../../src/engine/index.js';
import { useTwoWriters } from './writers.js';

const { a, b, onBoth, areEqual, by } = await useTwoWriters();
beforeAll(async () => {
  await onBoth('create role owner', 'grant all on schema public to owner');
  await onBoth(
    `create function elsewhere() returns boolean language sql as $$ select session_user = 'dbproxy_apply' $$`,
  );
});

const indexed = (name: string, role: string, does: string, unique = '') =>
  by(
    role,
    `create function ${name}_f(int) returns int immutable language plpgsql as $$ begin if public.elsewhere() then ${does} end if; return $1; end $$`,
    `create table ${name} (k int primary key, n int)`,
    `create ${unique} index ${name}_i on ${name} (${name}_f(n))`,
    `create index ${name}_j on ${name} (abs(n)) where n > 0`,
  );
const kept = async (name: string) =>
  (
    await b.rows(
      `select c.relname::text from pg_index i join pg_class c on c.oid = indexrelid where indrelid = 'public.${name}'::regclass and indislive and indisready and indisvalid order by 1`,
    )
  ).flat();

it.each([
  ['fails', 'owner', `raise exception 'x';`],
  ['writes', 'owner', 'perform public.writing();'],
  ['overflows', 'postgres', 'perform 1 / 0;'],
])('one that %s there: this writer goes on without it, until it is made anew', async (name, role, does) => {
  await onBoth(
    'create table if not exists written (k int primary key generated always as identity)',
    'create or replace function writing() returns void language sql security definer as $$ insert into public.written default values $$',
  );
  await indexed(name, role, does, 'unique');
  await onBoth(`insert into ${name} values (1, 1)`, `update ${name} set n = 2`);
  await areEqual();
  expect(await kept(name)).toEqual([`${name}_j`, `${name}_pkey`]);
  await onBoth(`insert into ${name} values (2, 3)`, `delete from ${name} where k = 1`);
  await areEqual();
  expect(await b.rows(`select k from public.${name} where public.${name}_f(n) = 3`)).toEqual([[2]]);
  // What it would not see.
  await expect(b.write(`insert into ${name} values (3, 3)`)).rejects.toMatchObject({
    code: '55000',
    hint: expect.stringContaining(`REINDEX INDEX public.${name}_i`) as string,
  });
  const gone = (await b.write(`delete from ${name}`))!;
  expect(await a.apply(gone.at, gone.writeSet.payload)).toBe(true);
  await b.client.query(`reindex index ${name}_i`);
  expect(await kept(name)).toEqual([`${name}_i`, `${name}_j`, `${name}_pkey`]);
  const back = (await b.write(`insert into ${name} values (4, 4)`))!;
  await a.apply(back.at, back.writeSet.payload);
  await areEqual();
});

it('one that fails for a constant, which PostgreSQL computes for each statement', async () => {
  await indexed('constant', 'owner', 'null;');
  await by(
    'owner',
    'drop index constant_i',
    'create unique index constant_i on constant ((n + constant_f(1)))',
    `create or replace function constant_f(int) returns int immutable language plpgsql as $$ begin if public.elsewhere() then raise exception 'x'; end if; return $1; end $$`,
  );
  await onBoth('insert into constant values (1, 1)', 'update constant set n = 2');
  await areEqual();
  expect(await kept('constant')).toEqual(['constant_j', 'constant_pkey']);
  await b.client.query('reindex index constant_i');
  expect(await kept('constant')).toEqual(['constant_i', 'constant_j', 'constant_pkey']);
  const back = (await b.write('insert into constant values (4, 4)'))!;
  await a.apply(back.at, back.writeSet.payload);
  await expect(b.write('insert into constant values (5, 4)')).rejects.toMatchObject({ code: '23505' });
  await areEqual();
});

it('one in which a row has no room there: it came compressed, from another table, to where it is not compressed', async () => {
  await onBoth(
    'create table origin (v text)',
    `insert into origin select repeat('x', 100000)`,
    'create table large (k int primary key, v text, n int)',
    'alter table large alter v set storage external',
    'create index large_i on large (v)',
    'create index large_j on large (n)',
  );
  await onBoth('insert into large select 1, v from origin');
  await areEqual();
  expect(await kept('large')).toEqual(['large_j', 'large_pkey']);
  await onBoth('update large set n = 1');
  const more = (await b.write(`insert into large values (2, 'y')`, `update large set v = 'z' where k = 1`))!;
  expect(await a.apply(more.at, more.writeSet.payload)).toBe(true);
  await b.client.query('reindex index large_i');
  expect(await kept('large')).toEqual(['large_i', 'large_j', 'large_pkey']);
  await areEqual();
});

it('of that table alone is left out what there is, also of one that comes with its rows; and not of a table beside it', async () => {
  await indexed('beside', 'owner', 'null;', 'unique');
  await onBoth(
    `create function with_it_f(int) returns int immutable language plpgsql as $$ begin if public.elsewhere() then raise exception 'apply_1(' using table = 'beside', errcode = 'DBP01'; end if; return $1; end $$`,
  );
  await onBoth(
    'insert into beside values (1, 1)',
    'create table with_it (k int primary key, n int)',
    'create index with_it_i on with_it (with_it_f(n))',
    'insert into with_it values (1, 1)',
  );
  await areEqual();
  expect(await kept('with_it')).toEqual(['with_it_pkey']);
  expect(await kept('beside')).toEqual(['beside_i', 'beside_j', 'beside_pkey']);
  await b.write('insert into with_it values (9, 9)', 'delete from with_it where k = 9');
});

it('one that does not end there', async () => {
  await indexed('ending', 'owner', 'perform pg_sleep(3600);');
  await indexed('ending_too', 'owner', 'perform pg_sleep(3600);');
  const { at, writeSet } = (await a.write(
    'insert into ending values (1)',
    'insert into ending_too values (1)',
  ))!;
  const connections = [await connectAdmin(b.engine), await connectAdmin(b.engine)] as const;
  await connections[0].query('set statement_timeout = 0');
  const applier = await Applier.on(b.id, ...connections, { codeMs: 20 });
  expect(await applier.apply([{ lsn: at, payload: writeSet.payload }], () => undefined)).toEqual([true]);
  for (const connection of connections) await connection.end();
  await areEqual();
  expect(await kept('ending')).toEqual(['ending_j', 'ending_pkey']);
  expect(await kept('ending_too')).toEqual(['ending_too_j', 'ending_too_pkey']);
});

it('one that ends its session there', async () => {
  await indexed('session', 'owner', 'null;');
  await onBoth(`create or replace function session_f(int) returns int immutable set exit_on_error = on language plpgsql as $$
    begin if public.elsewhere() then raise exception 'x'; end if; return $1; end $$`);
  const { at, writeSet } = (await a.write('insert into session values (1, 1)'))!;
  const entries = [{ lsn: at, payload: writeSet.payload }];
  let within: number[] = [];
  for (let tries = 0; ; tries++) {
    const connections = [await connectAdmin(b.engine), await connectAdmin(b.engine)] as const;
    const applier = await Applier.on(b.id, ...connections);
    const error = await applier
      .apply(entries, () => undefined, { leavesOut: true, withoutIndexes: within })
      .then(
        () => null,
        (cause: unknown) => cause,
      );
    for (const connection of connections) await connection.end().catch(() => undefined);
    if (error === null) break;
    expect(tries).toBe(0);
    expect(error).toMatchObject({ severity: 'FATAL' });
    within = [failedIn(error)!];
  }
  await areEqual();
  expect(await kept('session')).toEqual(['session_j', 'session_pkey']);
});
