/** Capture is deferred: what comes of it where clients defer, too, or change rows while a statement is at work. */
import { expect, it } from 'vitest';
import { checksums } from '../../../src/multiwriter/engine/index.js';
import { useTwoWriters } from './writers.js';

const { a, b, onBoth } = await useTwoWriters();

async function areEqual(...tables: string[]): Promise<unknown[]> {
  expect(await checksums(b.watcher)).toEqual(await checksums(a.watcher));
  return a.rows(tables.map((table) => `select * from public.${table}`).join(' union all ') + ' order by 1');
}

it('a deferred trigger that changes a row which its transaction changes later', async () => {
  await onBoth(
    'create table ord (id int primary key, note text, total int default 0)',
    'create table line (id int primary key, ord int references ord, amount int)',
  );
  await onBoth(
    `create function tot() returns trigger language plpgsql as $$ begin
       update ord set total = (select sum(amount) from line where ord = new.ord) where id = new.ord; return null; end $$`,
    'create constraint trigger t after insert on line deferrable initially deferred for each row execute function tot()',
  );
  await onBoth(
    `insert into ord values (1, 'n')`,
    'insert into line values (1, 1, 10)',
    `update ord set note = 'x' where id = 1`,
  );
  expect(await areEqual('ord')).toEqual([[1, 'x', 10]]);
});

it('a deferred trigger that puts back a row which its transaction deletes later', async () => {
  await onBoth('create table kept (id int primary key, v int)', 'create table starts (id int primary key)');
  await onBoth(
    'create function puts_back() returns trigger language plpgsql as $$ begin insert into kept values (1, 2); return null; end $$',
    'create constraint trigger t after insert on starts deferrable initially deferred for each row execute function puts_back()',
  );
  await onBoth('insert into kept values (1, 1)');
  await onBoth('insert into starts values (1)', 'delete from kept');
  expect(await areEqual('kept')).toEqual([[1, 2]]);
});

it('what a deferred trigger takes back by an exception', async () => {
  await onBoth('create table d4 (id int primary key)', 'create table d4b (id int primary key)');
  for (const [i, early] of ['set constraints all immediate;', ''].entries()) {
    await onBoth(
      `create or replace function takes_back() returns trigger language plpgsql as $$ begin
         begin insert into d4b values (new.id); ${early} raise exception 'x'; exception when raise_exception then null; end;
         insert into d4b values (-new.id);
         return null; end $$`,
    );
    if (i === 0)
      await onBoth(
        'create constraint trigger t after insert on d4 deferrable initially deferred for each row execute function takes_back()',
      );
    await onBoth(`insert into d4 values (${i + 1})`);
  }
  expect(await areEqual('d4b')).toEqual([[-2], [-1]]);
});

it('a deferred trigger that ends the closing', async () => {
  await onBoth(
    'create table ends (id int primary key, does text)',
    'create table after_it (id int primary key)',
  );
  await onBoth(
    'create function ends() returns trigger language plpgsql as $$ begin execute new.does; insert into public.after_it values (new.id); return null; end $$',
    'create constraint trigger t after insert on ends deferrable initially deferred for each row execute function ends()',
  );
  for (const does of ['reset all', 'select dbproxy.closed()'])
    await expect(a.write(`insert into ends values (1, '${does}')`)).rejects.toMatchObject({ code: '25000' });
  await onBoth(`insert into ends values (2, 'select 1')`);
  expect(await areEqual('after_it')).toEqual([[2]]);
});

it('a deferred trigger that defers what follows from it', async () => {
  await onBoth(
    'create table defers (id int primary key, does text)',
    'create table follows (id int primary key)',
    'create table keyed (id int primary key, follows int constraint of_follows references follows deferrable)',
  );
  await onBoth(
    'create function does() returns trigger language plpgsql as $$ begin execute new.does; return null; end $$',
    'create function quiet() returns trigger language plpgsql security definer set search_path = public as $$ begin return null; end $$',
    'create constraint trigger t after insert on defers deferrable initially deferred for each row execute function does()',
    'create constraint trigger later after insert on keyed deferrable for each row execute function quiet()',
  );
  const doing = (id: number, does: string) => a.write(`insert into defers values (${id}, $$${does}$$)`);
  for (const does of [
    'set constraints all deferred; insert into follows values (1)',
    'set constraints public.dbproxy_capture deferred; insert into follows values (1)',
    'set constraints public.later deferred; insert into keyed values (1)',
  ])
    await expect(doing(1, does), does).rejects.toMatchObject({ code: '0A000' });
  await expect(
    doing(1, 'set constraints public.of_follows deferred; insert into keyed values (1, 7)'),
  ).rejects.toMatchObject({ code: '23503' });
  await expect(
    doing(1, 'set constraints all deferred; insert into follows values (1); reset all'),
  ).rejects.toMatchObject({ code: '0A000' });
  await a.client.query('set search_path = public');
  await onBoth('insert into defers values (4, $$reset all$$)');
  await a.client.query('set search_path = public');
  // In order at the end.
  await onBoth(
    'insert into defers values (2, $$set constraints public.of_follows deferred; insert into keyed values (2, 2); insert into follows values (2)$$)',
    'insert into defers values (3, $$set constraints all deferred$$)',
  );
  expect(await areEqual('follows')).toEqual([[2]]);
});

it('a deferred trigger of a temporary table', async () => {
  await onBoth('create table by_temp (id int primary key, v int)');
  await a.write(
    'create temp table bait (id int)',
    'create function pg_temp.sets() returns trigger language plpgsql as $$ begin update public.by_temp set v = v * 10; return null; end $$',
    'create constraint trigger t after insert on bait deferrable initially deferred for each row execute function pg_temp.sets()',
  );
  await onBoth(
    'insert into bait values (1)',
    'insert into by_temp values (1, 1)',
    'update by_temp set v = 2',
  );
  expect(await areEqual('by_temp')).toEqual([[1, 20]]);
});

it('a function that changes the rows of the statement that calls it', async () => {
  await onBoth('create table j1 (id int primary key, st text)');
  await onBoth(
    `create function j1f(i int) returns int language plpgsql as $$ begin update j1 set st = 'done' where id = i; return i; end $$`,
  );
  await onBoth(`insert into j1 values (1, 'new') returning j1f(id)`);
  await onBoth(`with i as (insert into j1 values (2, 'new'), (3, 'new') returning id) select j1f(id) from i`);
  await areEqual('j1');
  await onBoth('create table d1 (id int primary key, def boolean)');
  await onBoth(
    'create function one() returns trigger language plpgsql as $$ begin update d1 set def = false where def and id <> new.id; return new; end $$',
    'create trigger one before insert on d1 for each row execute function one()',
  );
  await onBoth('insert into d1 values (1, true), (2, true), (3, true)');
  expect(await areEqual('d1')).toEqual([
    [1, false],
    [2, false],
    [3, true],
  ]);
});

it('a trigger that changes its own row, with immediate constraints', async () => {
  await onBoth('create table g3 (id int primary key, v text)');
  await onBoth(
    `create function more() returns trigger language plpgsql as $$ begin update g3 set v = v || '!' where id = new.id; return null; end $$`,
    'create trigger a after insert on g3 for each row execute function more()',
  );
  await onBoth(
    `insert into g3 values (0, 'a')`,
    'set constraints all immediate',
    `insert into g3 values (1, 'a'), (2, 'b')`,
  );
  expect(await areEqual('g3')).toEqual([
    [0, 'a!'],
    [1, 'a!'],
    [2, 'b!'],
  ]);
});

it('SET CONSTRAINTS ALL IMMEDIATE before the first write, and in a function', async () => {
  await onBoth('create table sc (id int primary key)');
  await onBoth('set constraints all immediate', 'insert into sc values (1)', 'insert into sc values (2)');
  await onBoth(
    'set constraints all immediate',
    'create table sc2 (id int primary key)',
    'insert into sc2 values (1)',
  );
  await onBoth(
    'insert into sc values (3)',
    'do $$ begin set constraints all immediate; insert into sc values (4); end $$',
  );
  for (const sql of [
    'begin; set constraints all immediate; insert into sc values (9); commit',
    'set session characteristics as transaction read write; insert into sc values (9)',
  ])
    await expect(a.client.query(sql)).rejects.toMatchObject({ code: '25000' });
  await a.client.query('rollback; begin; set constraints all immediate');
  await a.client.query('insert into sc values (9)');
  await expect(a.client.query('commit')).rejects.toMatchObject({ code: '25000' });
  expect(await areEqual('sc')).toEqual([[1], [2], [3], [4]]);
});

it('DISABLE TRIGGER ALL leaves capture as it is', async () => {
  await onBoth('create table x1 (id int primary key)');
  await onBoth('alter table x1 disable trigger all');
  await onBoth('insert into x1 values (1)');
  await onBoth('alter table x1 enable trigger all');
  await onBoth('insert into x1 values (2)');
  expect(await areEqual('x1')).toEqual([[1], [2]]);
});

it('all names in quotes', async () => {
  await a.client.query('set quote_all_identifiers = on');
  await onBoth('create table quoted (id int primary key)');
  await onBoth('insert into quoted values (1)');
  await a.client.query('reset quote_all_identifiers');
  await onBoth('insert into quoted values (2)');
  expect(await areEqual('quoted')).toEqual([[1], [2]]);
});

it('a function that a deferred constraint calls: what it makes, or defers, is not missed', async () => {
  await onBoth('create table does_it (id int primary key, does text)');
  await onBoth(`insert into does_it values (1, 'select 1')`);
  await onBoth(
    `create function do_it() returns int language plpgsql as $$ declare d text; begin select does into d from public.does_it; execute d; return 5; end $$`,
    `create type child_key as enum ('p', 'q')`,
    `create function of_parent(child_key) returns int language plpgsql as $$ begin return public.do_it(); end $$`,
    'create cast (child_key as int) with function of_parent(child_key) as implicit',
    `create function of_row(int) returns int immutable language plpgsql as $$ begin perform public.do_it(); return $1; end $$`,
    'create table parent (k int primary key)',
    'create table child (id int primary key, p child_key references parent deferrable initially deferred)',
    'create table excluding (id int primary key, n int, exclude using btree (of_row(n) with =) deferrable initially deferred)',
  );
  await onBoth('insert into parent values (5)', 'insert into excluding values (1, 1)');
  const referring = [`insert into child values (1, 'p')`];
  const excluded = ['insert into excluding values (2, 1)', 'delete from excluding where id = 1'];
  for (const statements of [referring, excluded])
    for (const does of [
      'explain analyze create table public.explained as select 1 as n',
      'explain analyze create materialized view public.explained as select 1 as n',
      'set constraints all deferred; insert into public.parent values (7)',
    ]) {
      await a.begin();
      for (const statement of statements) await a.client.query(statement);
      // It was called already, where the row was written.
      await a.client.query('update does_it set does = $1', [does]);
      await expect(a.close(), does).rejects.toMatchObject({ code: '0A000' });
      await a.client.query('rollback');
    }
  await onBoth(...referring, ...excluded);
  expect(await areEqual('child')).toEqual([[1, 'p']]);
});
