/** What is an engine's own does not get into rows: OIDs, and who its sessions are. Two real engines whose objects have other numbers. */
import { beforeAll, describe, expect, it } from 'vitest';
import { install } from '../../../src/multiwriter/engine/index.js';
import { SECRET, useTwoWriters } from './writers.js';

const { a, b, onBoth, areEqual } = await useTwoWriters();

beforeAll(async () => {
  // What only the first one had uses up numbers there.
  await a.client.query('create temp table mine (id int); create temp table others (id int)');
  await onBoth(
    `create type mood as enum ('sad', 'ok', 'so')`,
    'create table named (id int primary key)',
    `create function twice(int) returns int immutable language sql as 'select 1'`,
    `create function twice(text) returns int immutable language sql as 'select 1'`,
    `create function once(int) returns int immutable language sql as 'select 1'`,
  );
  const number = `select 'public.named'::regclass::oid`;
  expect(await a.rows(number)).not.toEqual(await b.rows(number));
});

describe('a definition by which rows would be others is refused', () => {
  it.each([
    'create table t (m mood, k int) partition by hash (m)',
    'create table t (m mood[], k int) partition by hash (k, m)',
    'create table t (r regclass) partition by hash (r)',
    'create table t (r regclass) partition by range (r)',
    'create table t (m mood) partition by range ((hashenum(m)))',
    'create table t (k int primary key, o oid generated always as (tableoid) stored)',
    'create table t (k int primary key, r regclass, o oid generated always as (r::oid) stored)',
    'create table t (k int primary key, r regproc, o bigint generated always as (r::int8) stored)',
    'create table t (k int primary key, l regconfig, o oid generated always as (l) stored)',
    'create table t (k int primary key, l regconfig, o int generated always as (l::int) stored)',
    'create table t (k int primary key, l regconfig, o bigint generated always as (l::int8) stored)',
    'create table t (k int primary key, m mood[], o int generated always as (hash_array(m)) stored)',
    'create table t (k oid primary key, r regclass references t)',
    'create table t (k regclass primary key, r oid references t)',
    `create table t (k int primary key check (pg_sleep(k)::text = ''))`,
    `create domain d as int check (pg_sleep(value)::text = '')`,
  ])('%s', async (definition) => {
    await expect(onBoth(definition)).rejects.toMatchObject({
      code: '0A000',
      message: expect.stringContaining('on the other writers') as string,
      hint: expect.any(String) as string,
    });
  });

  it('of a table that is there, and while it has rows', async () => {
    await onBoth(
      'create table there (k int primary key, m mood, r regclass)',
      'create domain there_d as text',
      `insert into there values (1, 'ok', 'named')`,
    );
    for (const definition of [
      'alter table there add o oid generated always as (tableoid) stored',
      'alter table there add o oid generated always as (r::oid) stored',
      'create unique index on there ((r::oid))',
      'create unique index on there (hashenum(m))',
      `alter table there add check (pg_sleep(0)::text = '')`,
      `alter domain there_d add check (pg_sleep(0)::text = '')`,
    ])
      await expect(onBoth(definition), definition).rejects.toMatchObject({ code: '0A000' });
    await onBoth('create index on there ((r::oid))', `update there set m = 'sad'`);
    await areEqual();
  });

  it('not a check of a table that asks who the user is: it was met where the row was written', async () => {
    await onBoth(
      'create role signer',
      'create table signed (k int primary key, who text check (who = current_user), check (session_user = current_user or k > 0))',
      'grant insert, select, update on signed to signer',
    );
    const { at, writeSet } = (await a.write(
      'set local role signer',
      `insert into signed values (1, 'signer'), (2, 'signer')`,
      'update signed set k = 3 where k = 2',
    ))!;
    expect(await b.apply(at, writeSet.payload)).toBe(true);
    await areEqual();
    await expect(b.client.query(`insert into signed values (4, 'signer')`)).rejects.toMatchObject({
      code: '23514',
    });
  });

  it('what is the same everywhere is not', async () => {
    await onBoth(
      'create table listed (k int, m mood, primary key (k, m)) partition by list (m)',
      `create table listed_1 partition of listed for values in ('sad', 'ok')`,
      'create table ranged (m mood) partition by range (m)',
      `create table ranged_1 partition of ranged for values from ('sad') to ('so')`,
      'create table refers (k regclass primary key, r regclass references refers)',
      'create table hashed (o oid, t text) partition by hash (o, t)',
      'create table hashed_1 partition of hashed for values with (modulus 1, remainder 0)',
      `create table plain (k int primary key, m mood, ks int[], is_ok boolean generated always as (m = 'ok') stored,
         h int generated always as (hash_array(ks)) stored, at date check (at <= current_date), check (tableoid <> 'named'::regclass))`,
      `create table searched (k int primary key, l regconfig default 'english', t varchar(80), body text,
         s tsvector generated always as (setweight(to_tsvector('english', coalesce(t, '')), 'A') || to_tsvector('simple', body)) stored,
         s_l tsvector generated always as (to_tsvector(l, body)) stored)`,
      `create index on searched using gin (to_tsvector('english', body))`,
      `create unique index on searched (to_tsvector('english', body))`,
      `alter table searched add s_2 tsvector generated always as (to_tsvector('german', t)) stored`,
      `insert into searched values (1, 'german', 'Der Himmel', 'die Himmel')`,
      `insert into listed values (1, 'ok')`,
      `insert into ranged values ('ok')`,
      `insert into refers values ('named', 'named')`,
      `insert into hashed values (7, 'x')`,
      `insert into plain values (1, 'ok', '{1,2}', default, default, current_date)`,
    );
    await areEqual();
  });
});

it('a table that was so before there were several writers is not written, until it is so no more', async () => {
  // As if there were one writer only.
  for (const { watcher } of [a, b])
    await watcher.query(`set session_replication_role = replica; alter event trigger dbproxy_ddl disable; alter event trigger dbproxy_0 disable;
      create table public.before (k int primary key, n int, o oid generated always as (tableoid) stored); insert into public.before values (1, 1);
      create type public.hidden as (r regclass); create table public.hides (k int primary key, h public.hidden);
      alter event trigger dbproxy_0 enable always; alter event trigger dbproxy_ddl enable always; reset session_replication_role`);
  for (const [id, { watcher }] of [a, b].entries())
    await install(watcher, { writer: id, writers: [0, 1], incarnation: 2, secret: SECRET });
  for (const sql of [
    'insert into before values (2)',
    'update before set n = 2',
    'delete from before',
    'insert into hides values (1)',
  ])
    await expect(onBoth(sql), sql).rejects.toMatchObject({
      code: '55000',
      message: expect.stringContaining('cannot be written') as string,
    });
  await onBoth('alter table before drop o', 'update before set n = 2', 'insert into before values (2)');
  await onBoth('drop table hides');
  await areEqual();
});

describe('a name', () => {
  it('of what is the same everywhere is one there', async () => {
    await onBoth(
      'create domain class as regclass',
      'create domain classes as regclass[]',
      'create role someone',
      `create table names (k int primary key, c regclass unique, t regtype, f regproc, p regprocedure, o regoper, s regoperator, r regrole, n regnamespace, l regcollation,
         g regconfig, d regdictionary, dc class, cs regclass[], ds classes, i oid)`,
      `insert into names values (1, 'named', 'mood', 'once', 'twice(text)', null, '+(int,int)', 'someone', 'public', '"C"', 'english', 'simple', 'named', '{named,null,pg_class}',
         '{{names},{named}}', 1234567)`,
      `insert into names values (2, '-', 'mood[]', '-', 'lower(text)', '0', '0', 'postgres', 'pg_catalog', '"default"', 'simple', 'simple', '-', '{}', null, 7)`,
      `update names set c = 'names' where c = 'named'::regclass`,
    );
    await areEqual();
    expect((await onBoth(`delete from names where c = 'names'::regclass`))!.writeSet.changes).toHaveLength(1);
    await areEqual();
  });

  it.each([
    ['c', `'mine'`],
    ['c', '987654'],
    ['c', `'dbproxy.self'`],
    ['c', `(select reltoastrelid from pg_class where relname = 'names')`],
    ['t', `'mine'`],
    ['t', `'mine[]'`],
    ['f', `'twice(int)'::regprocedure::oid`],
    ['f', `'pg_temp.passing'`],
    ['p', `'pg_temp.passing(int)'`],
    ['p', '987654'],
    ['o', `(select oid from pg_operator where oprname = '+' limit 1)`],
    ['s', '987654'],
    ['r', '987654'],
    ['n', 'pg_my_temp_schema()'],
    ['l', '987654'],
    ['g', '987654'],
    ['d', '987654'],
    ['dc', `'mine'`],
    ['cs', `'{named,mine}'`],
    ['ds', `'{{named},{mine}}'`],
  ])('of what others do not have, or not as one, is refused: %s = %s', async (column, value) => {
    await a.client.query(
      `create or replace function pg_temp.passing(int) returns int language sql as 'select 1'`,
    );
    for (const sql of [
      `insert into names (k, ${column}) values (3, ${value})`,
      `update names set ${column} = ${value}`,
    ])
      await expect(onBoth(sql)).rejects.toMatchObject({ code: '55000', hint: expect.any(String) as string });
    await areEqual();
  });

  it('that has become a number finds no row, and goes with a row that is found otherwise', async () => {
    await onBoth(
      'create table going (id int)',
      'create table by_name (c regclass primary key, n int)',
      'create table with_name (k int primary key, c regclass)',
      `insert into by_name values ('going', 1)`,
      `insert into with_name values (1, 'going')`,
    );
    await onBoth('drop table going');
    for (const sql of [
      'update by_name set n = 2',
      'delete from by_name',
      `update by_name set c = 'named'`,
      'update with_name set k = 2',
    ])
      await expect(onBoth(sql), sql).rejects.toMatchObject({ code: '55000' });
    await onBoth(`update with_name set c = 'named'`, 'truncate by_name');
    await areEqual();
  });

  it('goes along with the table that is made of it, and not as a number', async () => {
    await onBoth(
      `create table made as select k, c, c::oid as o, tableoid as t from with_name`,
      'alter table made add primary key (k)',
    );
    await areEqual();
    await expect(onBoth(`create table of_mine as select 'mine'::regclass as c`)).rejects.toMatchObject({
      code: '55000',
    });
    // Neither is a rewrite.
    await onBoth('alter table made alter c type oid');
    await areEqual();
    await expect(onBoth('alter table made alter t type regtype')).rejects.toMatchObject({ code: '55000' });
    await onBoth('alter table made alter c type regclass');
    await areEqual();
    await onBoth(
      `alter table made alter c type oid, add n oid not null default 'named'::regclass::oid, add r regclass default 'named'`,
    );
    await onBoth(`alter table made alter n type text using 'named'::regclass::oid`);
    await areEqual();
  });
});
