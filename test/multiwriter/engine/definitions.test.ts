/** Definitions whose outcome depends on when, where and under which settings they run: two real engines. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ApplyDiverged, checksums } from '../../../src/multiwriter/engine/index.js';
import { type TestWriter, twoWriters, writeOnBoth } from './writers.js';

let a: TestWriter;
let b: TestWriter;
let close: (() => Promise<void>) | undefined;

beforeAll(async () => {
  ({ a, b, close } = await twoWriters());
});
afterAll(() => close?.());

const onBoth = (...statements: string[]) => writeOnBoth(a, b, ...statements);
const areEqual = async () => expect(await checksums(b.watcher)).toEqual(await checksums(a.watcher));
/** The same query gives the same on both. */
async function same(sql: string): Promise<unknown[]> {
  const rows = await a.rows(sql);
  expect(await b.rows(sql)).toEqual(rows);
  return rows;
}
const failure = async (work: Promise<unknown>) =>
  work.then(
    () => null,
    (error: Error & { code?: string; hint?: string }) => ({ code: error.code, hint: error.hint }),
  );

describe('a definition means what it did under the settings of the session that made it', () => {
  it('dates, intervals, time zones, money, floats, NULL in arrays, = NULL', async () => {
    const set = (name: string, value: string) => `set local ${name} = '${value}'`;
    await onBoth(
      set('datestyle', 'SQL, DMY'),
      set('intervalstyle', 'sql_standard'),
      set('timezone', 'Asia/Tokyo'),
      set('array_nulls', 'off'),
      set('transform_null_equals', 'on'),
      set('timezone_abbreviations', 'India'),
      set('bytea_output', 'escape'),
      set('extra_float_digits', '-10'),
      set('xmloption', 'document'),
      set('default_text_search_config', 'pg_catalog.german'),
      `create table meant (
         d date default '01/02/2024', i interval default '-1 2:03:04', at timestamptz default '2024-03-04 05:06:07',
         ist timestamptz default '2024-01-01 00:00 IST', names text[] default '{a,NULL}', x int check (x = null or x > 0),
         id int primary key)`,
      `create table parts (d date primary key) partition by range (d)`,
      `create table parts1 partition of parts for values from ('01/02/2024') to ('02/03/2024')`,
      `create table told (id int primary key, f float8, b bytea, at timestamp, t text, u timestamptz)`,
      String.raw`insert into told values (1, 1.0 / 3, '\x00ff', '2024-05-06 07:08:09', 'Die Häuser', '2024-05-06 07:08:09+00')`,
      `alter table told alter f type text`,
      `alter table told alter b type text`,
      `alter table told alter at type timestamptz, alter u type text`,
      `alter table told alter t type tsvector using t::tsvector`,
      'insert into meant (id) values (1)',
    );
    expect(
      await same(
        "select pg_get_expr(adbin, adrelid) from pg_attrdef join pg_class c on c.oid = adrelid where relname = 'meant' order by adnum",
      ),
    ).toHaveLength(5);
    await same(
      `select pg_get_constraintdef(oid) from pg_constraint where conrelid = 'public.meant'::regclass and contype = 'c'`,
    );
    await same(`select pg_get_expr(relpartbound, oid) from pg_class where relname = 'parts1'`);
    expect(await same('select d::text from public.meant')).toEqual([['2024-02-01']]);
    expect((await b.rows('select f, u from public.told')).flat()).toEqual([
      '0.33333',
      '06/05/2024 16:08:09 JST',
    ]);
    await areEqual();
    // What follows, in the same entry or another one, is read as ever.
    await onBoth(
      set('datestyle', 'SQL, DMY'),
      `create table after1 (id int primary key, d date)`,
      `insert into after1 values (1, '03/04/2024')`,
      `create table after2 (d date default '05/06/2024', id int primary key)`,
    );
    expect(await same('select d::text from public.after1')).toEqual([['2024-04-03']]);
    await areEqual();
  });

  it('a default that reads a setting of the client’s own', async () => {
    await onBoth('create table tenants (id int primary key)', 'insert into tenants values (1)');
    await onBoth(
      `set local app.tenant = '77'`,
      `alter table tenants add tenant int not null default current_setting('app.tenant')::int`,
    );
    expect(await same('select tenant from public.tenants')).toEqual([[77]]);
  });

  it('a setting that another engine does not have does not stop it', async () => {
    const { at, writeSet } = (await a.write('create table anyway (id int primary key)'))!;
    const changes = JSON.parse(writeSet.payload) as { settings: Record<string, string> }[];
    Object.assign(changes[0]!.settings, {
      of_the_future: 'on',
      lc_monetary: 'xx_XX.utf8',
      timezone: 'Nowhere',
    });
    expect(await b.apply(at, JSON.stringify(changes))).toBe(true);
    expect(await b.rows(`select to_regclass('public.anyway') is not null`)).toEqual([[true]]);
  });

  it('names are looked for in the client’s schemas by its statement alone, and what its code has set is forgotten', async () => {
    await onBoth(
      'create schema evil',
      'create table evil.log (id serial primary key, who text)',
      `create function evil.eq(xid8, xid8) returns boolean language plpgsql as
         $$ begin insert into evil.log (who) values (current_user); return true; end $$`,
      'create operator evil.= (function = evil.eq, leftarg = xid8, rightarg = xid8)',
      `create function evil.sets() returns int language plpgsql as $$ begin
         perform set_config('search_path', 'evil, pg_catalog', false), set_config('datestyle', 'SQL, DMY', false),
                 set_config('default_transaction_read_only', 'on', false)
           where session_user = 'dbproxy_apply';
         return 1;
       end $$`,
      `create function evil.set_config(text, text, boolean) returns text language plpgsql as
         $$ begin insert into evil.log (who) values (current_user); return ''; end $$`,
      'create role looks_elsewhere',
      'grant usage, create on schema evil to looks_elsewhere',
    );
    await onBoth(
      'set local role looks_elsewhere',
      'set local search_path = evil, pg_catalog',
      'create table seen (id int primary key)',
    );
    await onBoth(
      'create table sets (id int primary key, d date)',
      `insert into sets values (1, '2024-03-04')`,
      'alter table sets add c int default evil.sets()',
      `update sets set d = '2024-04-05'`,
    );
    await onBoth(`update sets set d = '2024-05-06'`);
    expect(await same('select who from evil.log')).toEqual([]);
    expect(
      await same(`select relnamespace::regnamespace::text from pg_class where relname = 'seen'`),
    ).toEqual([['evil']]);
  });
});

describe('a definition that runs what writes', () => {
  it('is refused, and one that does not is not', async () => {
    await onBoth(
      'create table audit (id serial primary key, what text)',
      'create table audited (id int primary key)',
      'insert into audited values (1)',
      `create function writes() returns int language plpgsql as $$ begin insert into public.audit (what) values ('x'); return 1; end $$`,
      `create function empties() returns int language plpgsql as $$ begin truncate audit; return 1; end $$`,
      `create function defines() returns int language plpgsql as $$ begin create table defined (id int primary key); return 1; end $$`,
      `create function of_its_own() returns int language plpgsql as $$ begin
         create temp table if not exists own (id int) on commit drop; insert into own values (1); return 1; end $$`,
    );
    const refused = { code: '0A000', hint: expect.stringContaining('UPDATE') as string };
    for (const statement of [
      'alter table audited add c int default writes()',
      'alter table audited add c int default empties()',
      'alter table audited add c int default defines()',
      'alter table audited alter id type bigint using writes()',
      'alter table audited add check (writes() = 1)',
      'do $$ begin insert into audit default values; alter table audited add c int default writes(); end $$',
    ])
      expect(await failure(a.write(statement)), statement).toEqual(refused);
    await onBoth('alter table audited add own int default of_its_own()');
    await onBoth(
      'do $$ begin insert into audit default values; alter table audited add d int default 1; insert into audit default values; end $$',
      'update audited set d = 2',
      'delete from audit',
      'alter table audited add e int default random() * 10',
      'create table of_query as select writes() as v from generate_series(1, 3)',
      'create temp table own2 as select writes()',
      'alter table own2 add w int default writes()',
      'drop table own2',
      'create schema elements create table one (id int primary key) create view two as select * from one',
      'insert into elements.one values (1)',
    );
    expect(await same('select count(*)::int from public.audit')).toEqual([[5]]);
    await areEqual();
  });

  it('event triggers of a superuser write on the origin alone, and that comes as rows', async () => {
    await onBoth(
      'create table heard (id serial primary key, tag text)',
      `create function hears() returns event_trigger language plpgsql as $$ begin insert into public.heard (tag) values (tg_tag); end $$`,
      'create event trigger a_hears on ddl_command_end execute function hears()',
    );
    await onBoth('create table is_heard (id int primary key)');
    await onBoth('drop event trigger a_hears');
    expect(await same('select tag from public.heard')).toContainEqual(['CREATE TABLE']);
    await areEqual();
  });

  it('where it is applied alone: that writer stops', async () => {
    await onBoth(
      'create table trap (id int primary key)',
      'insert into trap values (1)',
      `create function only_there() returns int language plpgsql as $$ begin
         if session_user = 'dbproxy_apply' then insert into public.audit (what) values ('there'); end if; return 1; end $$`,
      `create function defines_there() returns int language plpgsql as $$ begin
         if session_user = 'dbproxy_apply' then create table public.there (id int); end if; return 1; end $$`,
    );
    for (const name of ['only_there', 'defines_there']) {
      const { at, writeSet } = (await a.write(`alter table trap add ${name} int default ${name}()`))!;
      const stopped = await b.apply(at, writeSet.payload).catch((error: unknown) => error);
      expect(stopped).toBeInstanceOf(ApplyDiverged);
      expect((stopped as ApplyDiverged).cause).toMatchObject({ code: 'DBP01' });
      expect(await b.rows(`select from public.audit where what = 'there'`)).toEqual([]);
    }
  });
});

it('several statements in one query are several, also with comments or texts around them', async () => {
  const unclear = { code: '0A000', hint: expect.stringContaining('one by one') as string };
  for (const query of [
    '/* one */ create table c1 (); create table c2 () /* two */',
    `create table c1 (x text default $$a$$); create table c2 (y text default $$b$$)`,
    'create table c1 () -- one\n; create table c2 () -- two',
  ])
    expect(await failure(a.write(query)), query).toEqual(unclear);
  await onBoth(
    '/* one; */ create table c1 (id int primary key /* ; */) -- ; c2',
    'insert into c1 values (1)',
  );
  expect(await same('select * from public.c1')).toEqual([[1]]);
});
