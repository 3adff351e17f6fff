/** What was met, or computed, where a row was written is not asked again where it is applied, if it comes to something else there. */
import { beforeAll, describe, expect, it } from 'vitest';
import { Applier, ApplyDiverged } from '../../../src/multiwriter/engine/index.js';
import { connectAdmin } from '../../../src/engine/index.js';
import { eventually } from '../../support/clients.js';
import { useTwoWriters } from './writers.js';

const { a, b, onBoth, areEqual, by } = await useTwoWriters();
beforeAll(async () => {
  await onBoth('create role owner', 'create role writer', 'grant all on schema public to owner, writer');
  await onBoth('grant all on database postgres to owner');
  await onBoth(
    `create function elsewhere() returns boolean language sql as $$ select session_user = 'dbproxy_apply' $$`,
  );
});

/** All that may be left out, as the catalogs have it. */
const definitions = (writer = b) =>
  writer.rows(`select * from (
      select oid::regclass::text, relchecks || ' ' || relispartition, relacl::text from pg_class where relkind = 'r' union all
      select typname, typnotnull::text, '' from pg_type where typtype = 'd' union all
      select nspname, '', nspacl::text from pg_namespace union all
      select conname, contype::text, '' from pg_constraint union all
      select attrelid::regclass || '.' || attname, attgenerated::text, '' from pg_attribute where attnum > 0) d
    where oid !~ '^pg_' order by 1, 2`);

/** It is applied, and what was left out for it is there again. */
async function applied(...statements: string[]): Promise<void> {
  const { at, writeSet } = (await a.write(...statements))!;
  expect(await b.apply(at, writeSet.payload)).toBe(true);
  expect(await definitions()).toEqual(await definitions(a));
  await areEqual();
}

describe('checks', () => {
  it('of domains, in whatever a column is made of', async () => {
    await onBoth(
      `create domain recent as timestamptz check (value > clock_timestamp() - interval '50 ms')`,
      'create domain whose as text check (value = current_user)',
      'create domain here as int check (not elsewhere())',
      'create domain over_it as here check (value > 0)',
      'create type pair as (a int, r here)',
      'create type span as range (subtype = here)',
      'create table by_domain (k int primary key, r recent, w whose, o over_it, hs here[], p pair, s span)',
      'grant all on by_domain to writer',
    );
    await applied(
      'set local role writer',
      `insert into by_domain values (1, clock_timestamp(), 'writer', 1, '{1,2}', '(1,2)', '[1,3)')`,
      `update by_domain set o = 7`,
      `select pg_sleep(0.06)`,
    );
    await expect(b.client.query('insert into by_domain (k, o) values (2, -1)')).rejects.toMatchObject({
      code: '23514',
    });
    await expect(b.client.query(`insert into by_domain (k, w) values (2, 'x')`)).rejects.toMatchObject({
      code: '23514',
    });
  });

  it('between definitions, which go by what tables have', async () => {
    await onBoth('create table between (k int primary key, check (not elsewhere()), check (k > 0))');
    await applied(
      'insert into between values (1)',
      'alter table between add n int check (n > 0)',
      'insert into between values (2, 2)',
      'create table between_2 (like between including all)',
      'insert into between_2 values (1, 1)',
      'alter table between drop constraint between_n_check',
      'insert into between values (3, -3)',
    );
    await expect(b.client.query('insert into between values (-4)')).rejects.toMatchObject({ code: '23514' });
  });

  it('that write: what they wrote comes by its rows, and is there once', async () => {
    await onBoth(
      'create table noted (t text)',
      `create function notes(int) returns boolean language plpgsql as $$ begin insert into public.noted values ($1); return true; end $$`,
      'create table noting (k int primary key, n int check (notes(n)))',
      'create table noting_id (k int generated always as identity primary key, n int check (notes(n)))',
      'create domain noted_int as int check (notes(value))',
      'create table noting_too (k int primary key, n noted_int)',
    );
    await applied('insert into noting values (1, 1)');
    await applied('update noting set n = 2');
    await applied('insert into noting_id (n) values (1)', 'update noting_id set n = 2');
    await applied('update noting_id set k = default');
    await applied('insert into noting_too values (1, 1)');
    await applied('insert into noting values (3, 3)', `comment on table noting is 'x'`);
    await applied('truncate noting', 'insert into noting values (3, 3)');
  });

  it('that write there only, or truncate, or define, or say that it is for now', async () => {
    await onBoth('create table spared (k int primary key)', 'insert into spared values (1)');
    for (const [i, does] of [
      'delete from public.spared',
      'truncate public.spared',
      'insert into public.spared values (2)',
      'drop table public.spared',
      'create table public.added (k int primary key)',
      `raise exception 'as if it would pass' using errcode = '40P01'`,
    ].entries()) {
      await onBoth(
        `create function does_${i}(int) returns boolean language plpgsql as $$ begin if public.elsewhere() then ${does}; end if; return true; end $$`,
        `create table doing_${i} (k int primary key check (does_${i}(k)))`,
      );
      await applied(`insert into doing_${i} values (1)`);
    }
    expect(await b.rows(`select from pg_class where relname = 'added'`)).toEqual([]);
  });

  it('that take their time there', async () => {
    await onBoth(
      `create function waits(int) returns boolean language plpgsql as $$ begin if public.elsewhere() then perform pg_sleep(3600); end if; return true; end $$`,
      'create table waiting (k int primary key check (waits(k)))',
    );
    const { at, writeSet } = (await a.write('insert into waiting values (1)'))!;
    const connections = [await connectAdmin(b.engine), await connectAdmin(b.engine)] as const;
    const applier = await Applier.on(b.id, ...connections, { codeMs: 20 });
    expect(await applier.apply([{ lsn: at, payload: writeSet.payload }], () => undefined)).toEqual([true]);
    for (const connection of connections) await connection.end();
    await areEqual();
  });

  it('for nobody else, meanwhile; and after a crash they are there', async () => {
    await onBoth('create table in_it (k int primary key, check (not elsewhere()), check (k > 0))');
    const { at, writeSet } = (await a.write('insert into in_it values (1)'))!;
    const before = await definitions();
    const connections = [await connectAdmin(b.engine), await connectAdmin(b.engine)] as const;
    connections[0].on('error', () => undefined);
    const pid = (await connections[0].query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]!.pid;
    const applier = await Applier.on(b.id, ...connections);
    await b.begin();
    await b.client.query('insert into in_it values (1)');
    const failed = applier
      .apply([{ lsn: at, payload: writeSet.payload }], () => undefined)
      .catch((error: unknown) => error);
    await eventually('the applier to wait for the key, with its checks left out', async () => {
      const waits = await b.rows(`select from pg_locks where pid = ${pid} and not granted`);
      return waits.length > 0;
    });
    expect(await definitions()).toEqual(before);
    // What fails is taken back to here, and the lock that the applier waits for stays.
    await b.client.query('savepoint here');
    await expect(b.client.query('insert into in_it values (-2)')).rejects.toMatchObject({ code: '23514' });
    await b.watcher.query('select pg_terminate_backend($1, 10000)', [pid]);
    expect(await failed).toMatchObject({ code: '57P01' });
    await b.client.query('rollback');
    await connections[1].end();
    expect(await definitions()).toEqual(before);
    expect(await b.apply(at, writeSet.payload)).toBe(true);
    await areEqual();
  });
});

describe('what stands against a row that is there', () => {
  it('a domain that is NOT NULL, past which a null came by an outer join', async () => {
    await onBoth(
      'create domain present as int not null',
      'create domain over_present as present',
      'create type with_present as (g over_present, t text)',
      'create table nulls (k int primary key, g over_present, gs over_present[], h with_present)',
    );
    await applied(
      `insert into nulls select 1, x.g, array[x.g], row(x.g, 'a')::with_present
         from (select 1) one left join (select 1::over_present as g where false) x on true`,
    );
    await applied('update nulls set k = 2');
    await applied('delete from nulls');
    await expect(b.client.query('insert into nulls (k, g) values (3, null)')).rejects.toMatchObject({
      code: '23502',
    });
  });

  it('the partition that it is in, by a function that is IMMUTABLE by its own word only', async () => {
    await onBoth(
      'create function part_of(int) returns int immutable language sql as $$ select case when public.elsewhere() then 5 else $1 end $$',
      'create function no_part(int) returns int immutable language plpgsql as $$ begin if public.elsewhere() then raise exception $x$x$x$; end if; return $1; end $$',
    );
    for (const name of ['part_of', 'no_part']) {
      await onBoth(
        `create table by_${name} (k int, v text) partition by list (${name}(k))`,
        `create table by_${name}_1 partition of by_${name} (primary key (k)) for values in (1)`,
        `create table by_${name}_2 partition of by_${name} (primary key (k)) for values in (2)`,
      );
      await applied(`insert into by_${name} values (1, 'a')`);
      await applied(`update by_${name} set k = 2, v = 'b'`);
      await applied(
        `update by_${name} set v = 'c'`,
        `alter table by_${name} add n int`,
        `delete from by_${name}`,
      );
      await expect(b.client.query(`insert into by_${name}_1 values (2, 'x')`)).rejects.toMatchObject({
        code: '23514',
      });
    }
  });
});

describe('generated columns', () => {
  it('of a function that is IMMUTABLE by its own word only: the value is that of where the row was written', async () => {
    await onBoth(
      `create function other(int) returns int immutable language sql as $$ select case when public.elsewhere() then -1 else $1 end $$`,
      `create function day_of(timestamptz) returns date immutable language sql as 'select $1::date'`,
      'create table generating (k int primary key, n int, g int unique generated always as (other(n)) stored)',
      'create table by_generated (n int, g int generated always as (other(n)) stored primary key)',
      `create table nothing_else (k int generated always as identity check (other(1) > 0), g int generated always as (other(1)) stored, primary key (k, g))`,
      'create table days (k int primary key, at timestamptz, day date generated always as (day_of(at)) stored)',
      `insert into days values (1, '2026-01-01 12:00')`,
    );
    await applied('insert into generating values (1, 1), (2, 2)', 'update generating set n = 3 where k = 2');
    await applied('delete from generating where k = 1', 'update generating set n = 4');
    await applied('insert into by_generated values (1), (2)', 'update by_generated set n = 3 where n = 1');
    await applied('delete from by_generated where g = 3');
    await applied('insert into nothing_else default values', 'insert into nothing_else default values');
    await applied('update nothing_else set k = default', 'update nothing_else set g = default');
    await applied(`set local timezone = 'Pacific/Kiritimati'`, `update days set at = '2026-01-01 00:30'`);
    await applied(
      `set local timezone = 'Pacific/Kiritimati'`,
      `insert into days values (2, '2026-01-01 00:30')`,
      'alter table days add n int',
      `insert into days values (3, '2026-01-01 00:30')`,
    );
    await onBoth('update generating set n = 5', `insert into days values (4, '2026-01-01 12:00')`);
    await areEqual();
  });
});

describe('rights that the owner of a table has not', () => {
  it('to it, or to its schema', async () => {
    await by(
      'owner',
      'create table given (k int primary key, n int)',
      'grant all on given to writer',
      'revoke all on given from owner',
      'create schema closed',
      'create table closed.given (k int primary key, n int)',
      'create table closed.too (k int primary key, n int)',
      'grant usage on schema closed to writer',
      'grant all on closed.given, closed.too to writer',
      'revoke all on schema closed from owner',
    );
    for (const table of ['given', 'closed.given'])
      await applied(
        'set local role writer',
        `insert into ${table} values (1), (2)`,
        `update ${table} set n = 7 where k = 1`,
        `delete from ${table} where k = 2`,
      );
    await applied('insert into closed.given values (3)', 'insert into closed.too values (3)');
  });

  it('to its schema, where his code would run with it: that writer stops', async () => {
    await by(
      'owner',
      'create schema peeked',
      'create function peeked.peeks(int) returns boolean language sql as $$ select true $$',
      'create table peeked.given (k int primary key check (peeked.peeks(k)))',
      'revoke all on schema peeked from owner',
    );
    const { at, writeSet } = (await a.write('insert into peeked.given values (1)'))!;
    await expect(b.apply(at, writeSet.payload)).rejects.toBeInstanceOf(ApplyDiverged);
    // Nor to another of his tables.
    await by('owner', 'create table peeking (k int primary key check (not elsewhere()))');
    const both = (await a.write('insert into closed.given values (4)', 'insert into peeking values (1)'))!;
    await expect(b.apply(both.at, both.writeSet.payload)).rejects.toBeInstanceOf(ApplyDiverged);
  });
});
