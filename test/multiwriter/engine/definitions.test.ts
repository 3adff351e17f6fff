/** Definitions whose outcome depends on when, where and under which settings they run: two real engines. */
import { describe, expect, it } from 'vitest';
import { ApplyDiverged, type Ddl } from '../../../src/multiwriter/engine/index.js';
import { failure, useTwoWriters } from './writers.js';

const { a, b, onBoth, areEqual, same } = await useTwoWriters();

const kinds = (written: Awaited<ReturnType<typeof onBoth>>) =>
  written!.writeSet.changes.map((change) => ('sql' in change ? change.tag : change.kind));
const missing = (written: Awaited<ReturnType<typeof onBoth>>) =>
  written!.writeSet.changes
    .filter((change): change is Ddl => change.kind === 'ddl')
    .flatMap((change) => change.missing.map(([table, column]) => `${table}.${column}`));

describe('a new column whose default is computed once, for all rows', () => {
  it('has the value of the writer that defined it, whatever its type', async () => {
    await onBoth(
      `create type mood as enum ('so', 'no')`,
      'create type pair as (a int, at timestamptz)',
      'create domain moment as timestamptz default now()',
      'create domain known as timestamptz not null default now()',
    );
    await onBoth('create table aged (id int primary key)', 'insert into aged values (1), (2)');
    await b.client.query('select * from aged');
    const written = await onBoth(
      `alter table aged add at timestamptz not null default now(), add day text default now()::text,
         add m moment, add k known, add nothing int, add one int default 1`,
    );
    // A domain with constraints has the table written anew, with all its rows.
    expect(kinds(written)).toEqual(['ALTER TABLE', 'empty', 'insert', 'insert']);
    const light = await onBoth(
      `alter table aged add at2 timestamptz default now(), add lit timestamptz default 'now', add day2 text default format('%s {"'',} \\', now()), add m2 moment,
         add moods mood[] default array['no', 'so']::mood[], add p pair default row(1, now())::pair, add ps pair[] default array[row(1, now())::pair],
         add span interval default now() - timestamptz '2001-02-03', add f float8 default extract(epoch from now())::float8 / 3,
         add r tstzrange default tstzrange(now(), null), add j jsonb default to_jsonb(now()), add x xml default xmlelement(name t, now())`,
      'insert into aged (id, k) values (3, now())',
    );
    expect(kinds(light)).toEqual(['ALTER TABLE', 'insert']);
    expect(missing(light)).toContain('public.aged.at2');
    expect(missing(light)).not.toContain('public.aged.one');
    await areEqual();
    // A session that knew the table sees it at once.
    const [row] = (await b.client.query('select * from aged where id = 1')).rows as unknown[];
    expect((await a.client.query('select * from aged where id = 1')).rows).toEqual([row]);
    await onBoth('update aged set id = id + 10', 'alter table aged alter one type bigint');
    await areEqual();
  });

  it('also in children and partitions, under names that need quotes, in blocks', async () => {
    await onBoth(
      'create schema "S s"',
      'create table "S s"."P p" (id int primary key, v int)',
      'create table heir (w int primary key) inherits ("S s"."P p")',
      'create table parted (id int primary key) partition by range (id)',
      'create table part1 partition of parted for values from (0) to (10)',
      'create table sub partition of parted for values from (10) to (20) partition by range (id)',
      'create table sub1 partition of sub for values from (10) to (15)',
      'insert into "S s"."P p" values (1, 1)',
      'insert into heir values (2, 2, 2)',
      'insert into parted values (1), (11)',
    );
    const written = await onBoth(
      `do $$ begin
         alter table "S s"."P p" add "C c" timestamptz default now();
         begin alter table parted add gone timestamptz default now(); raise exception 'x'; exception when others then null; end;
         alter table parted add at timestamptz default now();
       end $$`,
      'alter table if exists only heir add own timestamptz default now()',
      'alter table if exists nothing add own timestamptz default now()',
    );
    expect(missing(written).sort()).toEqual([
      ...['"S s"."P p".C c', 'public.heir.C c', 'public.heir.own', 'public.part1.at', 'public.sub1.at'],
    ]);
    await areEqual();
    // An old one is not told again, nor taken for new where the table is defined otherwise.
    expect(
      missing(await onBoth('alter table heir add y int', 'alter table parted rename at to at_last')),
    ).toEqual([]);
    await areEqual();
  });

  it('is in the indexes that come with it', async () => {
    await onBoth('create table single (id int primary key)', 'insert into single values (1)');
    await onBoth(
      `alter table single add at timestamptz default now() unique, add day timestamptz default now(),
         add exclude ((day at time zone 'UTC') with =) where (day is not null)`,
    );
    await b.watcher.query('set enable_seqscan = off');
    for (const column of ['at', 'day'])
      expect(
        await b.rows(
          `select id from public.single where ${column} = (select ${column} from public.single where id = 1)`,
        ),
      ).toEqual([[1]]);
    expect(
      await b.rows(
        `select id from public.single where day is not null and day at time zone 'UTC' = (select day at time zone 'UTC' from public.single where id = 1)`,
      ),
    ).toEqual([[1]]);
    await b.watcher.query('reset enable_seqscan');
    await onBoth('update single set at = null');
    await areEqual();
  });

  it('is refused where what is in it would have to be checked by code of a client', async () => {
    await onBoth(
      'create domain odd as int check (value % 2 = 1)',
      'create type holds as (o odd)',
      'create table plain (id int primary key)',
      'insert into plain values (1)',
    );
    const refused = { code: '0A000', hint: expect.stringContaining('UPDATE') as string };
    expect(await failure(a.write('alter table plain add h holds default row(1)::holds'))).toEqual(refused);
    expect(await failure(a.write(`alter table plain add h odd[] default '{1,3}'`))).toEqual(refused);
    await onBoth('alter table plain add h holds', 'update plain set h = row(3)::holds');
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
});

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

  it('a function has the settings that were current where it was made', async () => {
    await a.client.query(`set work_mem = '77MB'; set app.x = 'mine'; set statement_timeout = '9min'`);
    await onBoth(
      `create function settled() returns int language sql set work_mem from current set app.x from current
         set search_path from current set datestyle from current as 'select 1'`,
      `create procedure settled_later() language sql set work_mem = '3MB' as 'select 1'`,
      'alter procedure settled_later set "statement_timeout" /* its */ from current',
    );
    await a.client.query(`reset work_mem; reset app.x; reset statement_timeout`);
    const [[, first], [, later]] = (await same(
      `select proname, proconfig from pg_proc where proname like 'settled%' order by 1`,
    )) as [[string, string[]], [string, string[]]];
    expect(first).toEqual(['work_mem=77MB', 'app.x=mine', 'search_path=public', 'DateStyle=ISO, MDY']);
    expect(later).toEqual(['work_mem=3MB', 'statement_timeout=9min']);
    for (const setting of ['role from current', `role = 'postgres'`, 'session_replication_role from current'])
      expect(
        await failure(onBoth(`create function f() returns int language sql set ${setting} as 'select 1'`)),
      ).toMatchObject({ code: '0A000', hint: expect.any(String) as string });
    expect(await failure(onBoth(`alter function settled() set role to postgres`))).toMatchObject({
      code: '0A000',
    });
    await onBoth('drop function settled', 'drop procedure settled_later');
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

describe('rows that a definition computes anew', () => {
  const ROWS = ['empty', 'insert', 'insert'];
  const fresh = async (name: string) => {
    await onBoth(
      `create table ${name} (id int primary key, v text, at timestamptz, "current_date" date)`,
      `insert into ${name} values (1, '1', '2024-01-01'), (2, '2', '2024-01-01')`,
    );
  };

  it('stay where they are the same everywhere', async () => {
    await fresh('usual');
    for (const action of [
      'alter v type int using v::int',
      'alter id type bigint',
      'alter v type text using upper(v::text)',
      'alter v type text using "current_date"',
      'alter v type varchar(10) using (v)::varchar(10)',
      'alter at type timestamp(3)',
      `alter at type date using (at /* now() */ at time zone 'UTC')::date -- random()`,
      `alter v type text using v || ' random() "' || "v" -- '`,
      `alter v type text /* ' */ using v || 'random()' /* ' */`,
    ])
      expect(kinds(await onBoth(`alter table usual ${action}`)), action).toEqual(['ALTER TABLE']);
    // A temporary table is nobody else's business.
    const beside = await onBoth(
      'create temp table own as select 1 as id',
      'delete from usual where id = 2',
      'alter table own alter id type bigint using random()',
      'alter table own add s serial',
      'drop table own',
    );
    expect(kinds(beside)).toEqual(['delete']);
    await areEqual();
  });

  it('go along where they may be others elsewhere', async () => {
    await onBoth(
      `create function "Any thing"(text) returns text language sql volatile as 'select $1 || random()'`,
      `create function differs(text, text) returns text language sql volatile as 'select random()::text'`,
      `create function größe() returns text language sql volatile as 'select random()::text'`,
      `create operator public.<#~> (function = differs, leftarg = text, rightarg = text)`,
      'create type made as (v text)',
      `create function make(text) returns made language sql volatile as 'select row(random())::made'`,
      'create cast (text as made) with function make(text) as assignment',
      'create domain late as timestamptz default now()',
    );
    await fresh('anew');
    await onBoth(`create function part(anew) returns text language sql stable as 'select now()::text'`);
    for (const action of [
      'alter v type text using anew.part',
      'alter v type text using random()',
      'alter v type text using clock_timestamp ()',
      'alter v type timestamptz using current_timestamp',
      'alter v type text using session_user',
      `alter v type timestamptz using 'now'::timestamptz`,
      'alter v type text using "Any thing"(v::text)',
      'alter v type text using v <#~> v',
      'alter v type text using GRößE()',
      'alter v type text using random /* $a$ */ ()',
      'alter v type text using random -- "\n ()',
      'alter v type made',
      'alter v type text using 1, add w timestamptz default now()',
      'alter v type int using 1, add x late',
    ])
      expect(kinds(await onBoth(`alter table anew ${action}`)), action).toEqual(['ALTER TABLE', ...ROWS]);
    await areEqual();
    expect(
      kinds(await onBoth(`do $$ begin alter table anew alter v type float8 using random(); end $$`)),
    ).toEqual(['ALTER TABLE', ...ROWS]);
    await areEqual();
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

it('what is each engine’s own is refused in a DO block and in a function, too', async () => {
  for (const sql of [
    'create publication p for all tables',
    `create subscription s connection 'port=1' publication p with (connect = false)`,
  ]) {
    expect(await failure(onBoth(`do $$ begin execute $x$${sql}$x$; end $$`))).toMatchObject({
      code: '0A000',
      hint: expect.any(String) as string,
    });
    await onBoth(`create function makes() returns void language plpgsql as $$ begin ${sql}; end $$`);
    expect(await failure(onBoth('select makes()'))).toMatchObject({ code: '0A000' });
    await onBoth('drop function makes');
  }
  expect(await same('select count(*)::int from pg_publication')).toEqual([[0]]);
  expect(await same('select count(*)::int from pg_subscription')).toEqual([[0]]);
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

describe('after a definition what captures is what it would be anew', () => {
  /** Of all tables, but for what the catalogs' numbers are in. */
  const functions = (): Promise<unknown[]> =>
    a.rows(
      `select proname, prosrc, proowner::regrole::text from pg_proc where pronamespace = 'dbproxy'::regnamespace and proname ~ '^(capture|apply|expressions|isolated)_[0-9]+$' order by 1`,
    );

  it.each([
    ['drop index made_of_u'],
    ['drop table made_other'],
    ['drop table made_parent cascade'],
    ['alter table made_parent drop constraint made_parent_pkey cascade'],
    ['alter table made_whole drop column b'],
    ['alter table made_whole drop column e cascade'],
    ['drop type made_enum cascade'],
    ['drop domain made_domain cascade'],
    ['drop function made_function cascade'],
    ['drop index made_by_root'],
    [`alter type made_enum add value 'c'`],
    ['alter type made_enum rename to made_renamed'],
    ['alter domain made_domain add check (value > 0)'],
    ['alter type made_composite add attribute y int'],
    ['drop sequence made_sequence cascade'],
    ['drop schema made_schema cascade'],
    ['alter table made_whole alter column s drop default'],
    ['alter function made_function rename to made_renamed_function'],
    ['alter function made_function set schema made_schema'],
    ['alter routine made_function volatile'],
  ])('%s', async (definition) => {
    await onBoth(
      `create type made_enum as enum ('a', 'b')`,
      'create domain made_domain as int',
      'create type made_composite as (x int, e made_enum)',
      'create sequence made_sequence',
      `create function made_function(int) returns int immutable language sql as 'select $1'`,
      'create table made_parent (k int primary key, u int unique)',
      'create table made_other (k int primary key references made_parent (u), v int unique)',
      `create table made_whole (k int primary key, e made_enum unique, d made_domain, c made_composite, l made_enum[],
         s int default nextval('made_sequence'), b int references made_parent, u int, f int)`,
      'create unique index made_of_u on made_whole (u)',
      'create unique index made_of_f on made_whole (made_function(f))',
      'create table made_root (k int, n int) partition by list (k)',
      'create table made_leaf partition of made_root for values in (1)',
      'create unique index made_by_root on made_root (k, n)',
      'create schema made_schema create table in_it (k int primary key)',
      'alter table made_whole add r int references made_schema.in_it',
    );
    await onBoth(definition);
    const here = await functions();
    if (definition.includes('made_function') && !definition.startsWith('drop'))
      await onBoth('insert into made_whole (k, f) values (1, 1)');
    const names = 'made_whole, made_parent, made_other, made_root';
    await a.watcher.query(
      `begin; insert into dbproxy.captured (xid, operation, is_first) values (pg_current_xact_id(), 'w', false);
       select dbproxy.refresh(); delete from dbproxy.captured where operation = 'w'; commit`,
    );
    expect(await functions()).toEqual(here);
    await onBoth(
      `drop table if exists ${names} cascade`,
      'drop schema if exists made_schema cascade',
      'drop sequence if exists made_sequence cascade',
      'drop function if exists made_function, made_renamed_function cascade',
      'drop type if exists made_composite, made_enum, made_renamed cascade',
      'drop domain if exists made_domain cascade',
    );
  });
});

it('what EXPLAIN ANALYZE makes, within a function, is refused at the COMMIT; without ANALYZE, or a temporary table, is not', async () => {
  const explaining = (sql: string) => `do $$ begin execute 'explain ${sql}'; end $$`;
  for (const sql of [
    'analyze create table explained as select 1 as n',
    '(analyze, costs off) select 1 as n into explained',
    'analyze create unlogged table explained as select 1 as n',
    'analyze create materialized view explained as select 1 as n',
  ])
    await expect(a.write('create temp table passing (n int)', explaining(sql)), sql).rejects.toMatchObject({
      code: '0A000',
      message: expect.stringContaining('explained') as string,
      hint: expect.stringContaining('CREATE TABLE AS') as string,
    });
  await onBoth(
    explaining('create table explained as select 1 as n'),
    explaining('analyze create temp table explained as select 1 as n'),
    'create table by_itself as select 1 as n',
    'create materialized view viewed as select 1 as n',
    'create unique index on viewed (n)',
  );
  await onBoth('refresh materialized view viewed', 'create temp table passing (n int)');
  await onBoth(
    'alter materialized view viewed rename to viewed_again',
    'create temp table passing_2 (n int)',
  );
  await onBoth(
    'refresh materialized view concurrently viewed_again',
    'create temp table passing_3 as select 1 as n',
    'create materialized view if not exists viewed_again as select 2 as n',
  );
  const made = `select relname::text from pg_class where relname in ('explained', 'by_itself', 'viewed_again') order by 1`;
  expect(await b.rows(made)).toEqual([['by_itself'], ['viewed_again']]);
});
