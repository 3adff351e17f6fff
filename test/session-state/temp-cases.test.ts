/** Rows 10 and 11, case by case: catalogs and rows are the same after the move and after another, or the obstacle is named. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EngineRecord } from '../../src/engine/index.js';
import { DEFAULT_LIMITS, replay, unmovable } from '../../src/session-state/index.js';
import { TestEngines } from '../support/engines.js';
import { Backend } from './support.js';
import { snapshot } from './temp-snapshot.js';

let engines: TestEngines;
let primary: EngineRecord;

beforeAll(async () => {
  engines = await TestEngines.open();
  primary = await engines.primary();
  const admin = await Backend.open(primary);
  await admin.run(
    'create role app login',
    'create role other',
    'create role friend',
    'grant friend to app',
    'create schema app authorization app',
    'create table app.permanent (n int primary key, t text)',
    'grant select on app.permanent to public',
    `create function app.fire() returns trigger language plpgsql as $$begin raise 'fired'; end$$`,
  );
  admin.close();
});

afterAll(async () => {
  await engines?.close();
});

const open = (user = 'app'): Promise<Backend> => Backend.open(primary, { user });

/** As a session is moved: looked at first, then again when there is no way back. */
const move = async (session: Backend, user = 'app'): Promise<Backend> => {
  const described = await session.look();
  expect(unmovable(described, DEFAULT_LIMITS)).toEqual([]);
  const wanted = await session.look(described, false, true);
  const target = await open(user);
  const base = await target.look();
  await replay(target.connection, wanted, base, base, true);
  return target;
};

const obstacleOf = async (session: Backend): Promise<string | undefined> =>
  unmovable(await session.look(), DEFAULT_LIMITS).find(({ kind }) => kind === 'tempObjects')?.detail;

const LONG = 'ä'.repeat(31) + 'x';

const same: Readonly<Record<string, readonly string[]>> = {
  'a table with rows': [
    'create temp table t (n int, t text)',
    `insert into t values (1, 'a'), (null, null), (3, E'\\t\\n\\\\.')`,
  ],
  'a sequence owned by a column that is an identity': [
    'create temp table t (a int generated always as identity)',
    'create temp sequence s owned by t.a',
    `select nextval('s')`,
    'insert into t default values',
  ],
  'a sequence of an identity that is of another type than its column': [
    `create temp table t (a int generated always as identity (increment -2 minvalue -9 maxvalue -1 start -3 cycle),
       b int generated always as identity)`,
    'alter sequence t_b_seq as bigint maxvalue 9000000000',
    'insert into t default values',
  ],
  'a check that is valid in a child and not in its parent': [
    'create temp table p (n int)',
    'insert into p values (-1)',
    'alter table p add constraint positive check (n > 0) not valid',
    'create temp table c () inherits (p)',
    'create temp table d () inherits (c)',
    'insert into c values (1)',
  ],
  'no columns': ['create temp table t ()', 'insert into t default values', 'insert into t default values'],
  'odd names': [
    `create temp table "T ""ä"" '$1" ("a b" int default 1, "select" text, "${LONG}" int)`,
    `insert into "T ""ä"" '$1" values (1, 'x', 2)`,
    `create temp view "${LONG}" as select "a b" from "T ""ä"" '$1"`,
    `comment on table "T ""ä"" '$1" is 'it''s \\ odd'`,
    `create index "I ""x" on "T ""ä"" '$1" ("a b", "select")`,
  ],
  'names of the catalogs': [
    'create temp table pg_class (oid int)',
    'insert into pg_class values (7)',
    `create type pg_temp.text as enum ('a')`,
    `create temp table u (n pg_temp.text, o pg_catalog.text)`,
    `insert into u values ('a', 'b')`,
  ],
  'types with modifiers, collations, NOT NULL': [
    `create temp table t (a varchar(3) not null, b numeric(5,2)[], c timestamptz(3), d bit(4), e text collate "C", f "char", g int[][], h interval day to second(1))`,
    `insert into t values ('abc', '{1.5,null}', '2026-01-01 12:34:56.789+02', b'1010', 'é', 'x', '{{1,2},{3,4}}', '1 day 2.5 s')`,
  ],
  'values of all sorts': [
    `create temp table t as select '-1 day +02:03'::interval a, 'infinity'::timestamptz b, '$1,234.50'::money c, '\\x00ff'::bytea d,
       0.1::float8 e, 'NaN'::float4 f, 'pg_class'::regclass g, '{"a": 1}'::jsonb h, '[1,5)'::int4range i, '<a/>'::xml j, array['a"b','{}',null,''] k,
       row(1, 'a,"b"\\c')::text l, '1.2.3.4/8'::inet m, ''::text n, '{[1,2),[5,6)}'::int4multirange o, 'a:1 b:2'::tsvector p`,
  ],
  'storage, compression, statistics, options': [
    'create temp table t (a text, b text, c int) with (fillfactor = 70, autovacuum_enabled = off, toast.autovacuum_enabled = off)',
    'alter table t alter a set storage external, alter b set compression pglz, alter c set statistics 10',
  ],
  'defaults and generated columns': [
    `create function pg_temp.twice(int) returns int immutable language sql as 'select $1 * 2'`,
    `create temp table t (n int default pg_temp.twice(4), m int generated always as (pg_temp.twice(n)) stored, d timestamptz default now(), x text default 'pg'||'x')`,
    'insert into t (n) values (1), (default)',
  ],
  'serial and identity': [
    'create temp table t (a serial, b bigint generated always as identity (increment 5 start 7 cache 2), c smallint generated by default as identity, d int)',
    'insert into t (d) values (1), (2), (3)',
    'alter sequence t_b_seq rename to "B seq"',
  ],
  'a sequence owned by hand and one of its own': [
    'create temp sequence s increment -2 minvalue -100 maxvalue 100 start 50 cycle',
    `select nextval('s'), nextval('s')`,
    'create temp sequence fresh as smallint start 5',
    'create temp table t (n int)',
    'create temp sequence o owned by t.n',
    `alter table t alter n set default nextval('s')`,
    `select setval('o', 99, false)`,
  ],
  'constraints of all kinds': [
    'create temp table a (id int primary key, u text unique nulls not distinct, c int constraint "C !" check (c > 0) no inherit)',
    'create temp table b (id int, a int references a on delete cascade deferrable initially deferred, r int4range, exclude using gist (r with &&), foreign key (id) references b (k), k int unique)',
    `insert into a values (1, 'x', 2); insert into b (id, a, r, k) values (5, 1, '[1,3)', 5)`,
    'alter table a add constraint later check (id < 0) not valid',
    `comment on constraint later on a is 'not valid'`,
    'alter table b alter constraint b_id_fkey deferrable',
  ],
  'indexes, cluster, replica identity': [
    'create temp table t (a int not null, b text)',
    `create unique index i on t (a) include (b) with (fillfactor = 50)`,
    `create index j on t (lower(b) collate "C" text_pattern_ops desc nulls last, (a + 1)) where a > 3`,
    'create index k on t using hash (b)',
    'alter index j alter column 2 set statistics 77',
    'cluster t using i',
    'alter table t replica identity using index i',
    `comment on index j is 'of j'`,
    'create temp table f (a int)',
    'alter table f replica identity full',
  ],
  'values that other settings of input would change': [
    `create temp table t as select array['NULL', null] as a, xmlparse(content 'a<b/>') as b`,
    'set array_nulls to off',
    'set xmloption to document',
  ],
  'triggers do not fire': [
    'create temp table t (a int)',
    'insert into t values (1)',
    'create trigger fire before insert on t for each row execute function app.fire()',
    `create trigger own after update of a on t for each row when (old.a is distinct from new.a) execute function app.fire()`,
    'create trigger off before delete on t execute function app.fire()',
    'alter table t disable trigger off, enable always trigger own',
    `comment on trigger own on t is 'c'`,
    `create function pg_temp.tf() returns trigger language plpgsql as 'begin return new; end'`,
    'create trigger temporary before insert on t for each row execute function pg_temp.tf()',
  ],
  'comments and grants': [
    'create temp table t (a int, b int, c int)',
    `comment on column t.b is 'b'; comment on table t is 't'`,
    'grant select on t to public; grant insert, update on t to other with grant option; grant select (a, b), update (b) on t to other',
    'revoke delete on t from app',
    'create temp sequence s; grant usage on sequence s to other',
    `create function pg_temp.f(int, text default 'x') returns int language sql as 'select 1'`,
    'revoke all on function pg_temp.f from public; grant execute on function pg_temp.f to other',
    `comment on function pg_temp.f is 'f'`,
    `create type pg_temp.e as enum ('a'); revoke usage on type pg_temp.e from public; comment on type pg_temp.e is 'e'`,
    'create temp view v as select * from t; grant select on v to other',
    'create temp table none (n int); revoke insert on none from app',
  ],
  'a foreign key of a table that was given to somebody who may not refer to the other': [
    'create temp table k (n int primary key)',
    'create temp table t (n int references k)',
    'insert into k values (1)',
    'insert into t values (1)',
    'alter table t owner to friend',
  ],
  statistics: ['create temp table t as select g % 10 as n from generate_series(1, 100) g', 'analyze t'],
  'dropped columns': [
    'create temp table t (a int, b text, c int)',
    `insert into t values (1, 'x', 3)`,
    'alter table t drop b',
    'alter table t add d int default 4 not null',
    'create index i on t (d)',
    'alter table t drop a',
  ],
  'a view that needs a primary key': [
    'create temp table t (id int primary key, n int)',
    'create temp view grouped as select id, n, count(*) from t group by id',
    'create temp table of_rows (v grouped)',
  ],
  'options of the TOAST table': ['create temp table t (a text) with (toast.autovacuum_enabled = off)'],
  'values of types without a binary form': [
    `create temp table t as select 'app=r/app'::aclitem as a, '{app=r/app}'::aclitem[] as b`,
  ],
  'values that name temporary objects': [
    'create temp table t (n int)',
    `create temp table u as select 't'::regclass as a, array['t'::regclass] as b, 't'::regtype as c`,
  ],
  'large values': [
    `create temp table t as select string_agg(md5(g::text), '') as t from generate_series(1, 5000) g`,
  ],
  'enum, composite, range types, domains': [
    `create type pg_temp."Mo.od" as enum ('sad', 'it''s', E'back\\\\slash')`,
    `alter type pg_temp."Mo.od" add value 'first' before 'sad'`,
    'create type pg_temp.pair as (a int, m pg_temp."Mo.od", t varchar(3) collate "C")',
    `create function pg_temp.diff(float8, float8) returns float8 immutable language sql as 'select $1 - $2'`,
    'create type pg_temp.span as range (subtype = float8, subtype_diff = pg_temp.diff)',
    'create type pg_temp.words as range (subtype = text, collation = "C", multirange_type_name = pg_temp.many)',
    `create function pg_temp.even(int) returns bool immutable language sql as 'select $1 % 2 = 0'`,
    'create domain pg_temp.d as int default 4 not null constraint even check (pg_temp.even(value)) constraint small check (value < 100)',
    'create domain pg_temp.dd as pg_temp.d[]',
    'create domain pg_temp.late as int',
    'create temp table t (m pg_temp."Mo.od", ms pg_temp."Mo.od"[], p pg_temp.pair, ps pg_temp.pair[], s pg_temp.span, ss pg_temp.span_multirange, w pg_temp.many, d pg_temp.d, dd pg_temp.dd, l pg_temp.late)',
    `insert into t values ('first', '{sad,"it''s"}', row(1, 'sad', 'a,b'), array[row(1, 'sad', 'x')::pg_temp.pair], '[1,2)', '{[1,2)}', '{["a","b"]}', 8, '{2,4}', -1)`,
    'alter domain pg_temp.late add constraint positive check (value > 0) not valid',
    'comment on constraint even on domain pg_temp.d is $$c$$',
  ],
  'rows of a table as a type': [
    'create temp table a (n int, t text)',
    'create temp table b (one a, many a[])',
    `insert into b values (row(1, 'x'), array[row(2, null)::a])`,
    'create temp view v as select n from a',
    'create temp table c (v v)',
  ],
  'functions and procedures': [
    `create function pg_temp.f(a int, b text default 'x', out c int, variadic d int[] default '{}') language plpgsql strict stable security definer cost 5 set work_mem = '8MB' as $$begin c := a; end$$`,
    `create function pg_temp.f(text) returns setof text language sql rows 7 parallel safe as 'select $1'`,
    `create procedure pg_temp.p(inout x int) language sql begin atomic select x + 1; end`,
    `create function pg_temp.uses() returns int begin atomic select pg_temp.g(n) from pg_temp.t; end`.replace(
      /.*/s,
      'select 1',
    ),
    'create temp table t (n int)',
    `create function pg_temp.g(t) returns int language sql begin atomic select $1.n; end`,
    'create temp view v as select pg_temp.g(t) as g, pg_temp.f(t::text) from t',
  ],
  'columns in another order than the parents have': [
    'create temp table a (x text, y text check (y <> x))',
    'create temp table b (z int not null)',
    'create temp table child (own int, y text, x text check (x > y), z int not null, check (y <> x), constraint a_check check (y <> x))',
    'alter table child inherit b',
    'alter table child inherit a',
    `insert into child values (1, 'b', 'c', 3)`,
    'create temp table grandchild (n int) inherits (child)',
    `insert into grandchild values (2, 'd', 'e', 4, 5)`,
    'create temp table parted (k int, v text) partition by list (k)',
    'create temp table part (v text, k int)',
    'alter table parted attach partition part for values in (1)',
    `insert into parted values (1, 'x')`,
  ],
  views: [
    'create temp table t (id int primary key, n int, x text)',
    'create temp view grouped as select id, n, count(*) from t group by id',
    'create temp view checked with (security_barrier) as select * from t where n > 0 with local check option',
    'create temp view renamed (a, b) as select * from checked',
    'create view pg_temp.of_permanent as select p.*, t.x as y from app.permanent p left join t on t.id = p.n',
    `create or replace temp view late as select 'x'::text as x`,
    'create temp view user_of_late as select * from late',
    'create temp view newer as select * from renamed',
    `create or replace temp view late as select b::text as x from newer`,
    'create recursive view pg_temp.r (n) as values (1) union all select n + 1 from r where n < 3',
  ],
};

/** A session that has run these statements, moved: catalogs and rows are the same there. `told`: run last, `there` undoes it. */
const expectSame = async (
  statements: readonly (string | Buffer)[],
  { user = 'app', told = [], there = [] }: { user?: string; told?: string[]; there?: string[] } = {},
): Promise<void> => {
  const session = await open(user);
  await session.run(...statements);
  const before = await snapshot(session);
  await session.run(...told);
  const target = await move(session, user);
  await target.run(...there);
  expect(await snapshot(target)).toEqual(before);
  session.close();
  target.close();
};
/** Not every name has its characters there. */
const IN_LATIN1 = { told: ['set client_encoding = latin1'], there: ['set client_encoding = utf8'] };

describe('the same after a move', () => {
  it.each(Object.entries(same))('%s', async (_, statements) => {
    const session = await open();
    for (const sql of statements) await session.run(Buffer.from(sql));
    const before = await snapshot(session);
    const target = await move(session);
    expect(await snapshot(target)).toEqual(before);
    // The session itself was only read.
    expect(await snapshot(session)).toEqual(before);
    const again = await move(target);
    expect(await snapshot(again)).toEqual(before);
    for (const backend of [session, target, again]) backend.close();
  });

  it('whatever the settings of the session are', () =>
    expectSame([
      "create temp table t as select now()::timestamptz a, 1.1::float4 b, interval '1 day' c, $$\\x00$$::bytea d",
      `create temp view v as select a, 'x\\y'::text as "select" from t`,
      `set datestyle = 'german'; set intervalstyle = 'sql_standard'; set extra_float_digits = -3; set bytea_output = 'escape'`,
      `set search_path = 'app', 'pg_temp'; set quote_all_identifiers = on; set default_transaction_read_only = on; set statement_timeout = '1h'`,
      'set default_transaction_isolation = serializable; set standard_conforming_strings = off',
    ]));

  it('in a client encoding that has not all characters', () =>
    expectSame([Buffer.from(`create temp table "€" as select '€ł'::text as "ł"`)], IN_LATIN1));

  it.each(['€', 'two\nlines', '1 2'])('an empty table %j, in LATIN1', (name) =>
    expectSame([Buffer.from(`create temp table "${name}" (n int)`)], IN_LATIN1),
  );

  it('default privileges that came later', async () => {
    const session = await open();
    await session.run(
      'create temp table t (n int)',
      'create temp sequence s',
      `create function pg_temp.f() returns int language sql as 'select 1'`,
      `create type pg_temp.e as enum ('a')`,
      'alter default privileges grant all on tables to other',
      'alter default privileges grant all on sequences to other',
      'alter default privileges revoke all on functions from public',
      'alter default privileges revoke all on types from public',
    );
    const MAY = `select has_table_privilege('other', 't', 'select'), has_sequence_privilege('other', 's', 'usage'),
      has_function_privilege('other', 'pg_temp.f()', 'execute'), has_type_privilege('other', 'pg_temp.e', 'usage')`;
    const before = await session.rows(MAY);
    const target = await move(session);
    const after = await target.rows(MAY);
    await session.run(
      'alter default privileges revoke all on tables from other',
      'alter default privileges revoke all on sequences from other',
      'alter default privileges grant execute on functions to public',
      'alter default privileges grant usage on types to public',
    );
    expect(after).toEqual(before);
    session.close();
    target.close();
  });

  it('objects of a role that the session had set', () =>
    expectSame([
      'set role friend',
      'create temp table t (n serial primary key)',
      'insert into t default values',
      'set role none',
      'create temp view v as select 1',
    ]));

  it('what its owner may not read any more, but the login user may', () =>
    expectSame(
      [
        'set role app',
        'create temp table t (n serial); insert into t default values',
        'revoke select on t from app; revoke all on sequence t_n_seq from app',
        'reset role',
      ],
      { user: 'postgres' },
    ));

  it('objects of a user that the session had become', () =>
    expectSame(
      [
        'create temp table before (n int); grant select on before to app',
        'set session authorization app',
        'create temp table t (n serial primary key)',
        'insert into t default values',
      ],
      { user: 'postgres' },
    ));

  it('rows that their owner took the right to read from himself', async () => {
    const session = await open();
    await session.run(
      'create temp table t (n int); insert into t values (1)',
      `create temp sequence s; select nextval('s'); discard sequences`,
      'revoke all on t from current_user; revoke all on sequence s from current_user',
      'set default_transaction_read_only = on',
    );
    const target = await move(session);
    expect((await target.query('select from t')).error?.sqlstate).toBe('42501');
    await target.run('set default_transaction_read_only = off', 'grant select on t, s to current_user');
    expect(await target.rows('select n, last_value from t, s')).toEqual([['1', '1']]);
    session.close();
    target.close();
  });

  it('currval of a sequence is what it was: undefined where nothing was drawn', async () => {
    const session = await open();
    await session.run(
      'create temp sequence drawn',
      'create temp sequence not_drawn',
      `select nextval('drawn'), nextval('drawn')`,
    );
    await session.run(`select setval('not_drawn', 7)`, 'discard sequences', `select nextval('drawn')`);
    const target = await move(session);
    expect(await target.rows(`select currval('drawn'), lastval()`)).toEqual([['3', '3']]);
    expect((await target.query(`select currval('not_drawn')`)).error?.sqlstate).toBe('55000');
    session.close();
    target.close();
  });
});

it('no event trigger fires again where the login may turn them off', async () => {
  const session = await open('postgres');
  await session.run(
    'create temp table t (n int)',
    `create function app.forbid() returns event_trigger language plpgsql as $$begin raise 'forbidden'; end$$`,
    'create event trigger forbid on ddl_command_end execute function app.forbid()',
  );
  try {
    const target = await move(session, 'postgres');
    expect(await target.rows('select * from t')).toEqual([]);
    expect((await target.query('create table app.refused (n int)')).error?.message).toBe('forbidden');
    target.close();
  } finally {
    await session.run('drop event trigger forbid', 'drop function app.forbid');
    session.close();
  }
});

it('rows that violate a constraint stay, and it checks new ones', async () => {
  const session = await open('postgres');
  await session.run(
    `create function pg_temp.odd(int) returns bool immutable language sql as 'select $1 % 2 = 1'`,
    'create temp table a (id int primary key, n int check (pg_temp.odd(n)))',
    'create temp table b (id int references a)',
    'insert into a values (1, 3)',
    'set session_replication_role to replica',
    'insert into b values (9)',
    'set session_replication_role to default',
    `create or replace function pg_temp.odd(int) returns bool immutable language sql as 'select $1 % 2 = 0'`,
  );
  const target = await move(session, 'postgres');
  expect(await target.rows('select * from a, b')).toEqual([['1', '3', '9']]);
  expect((await target.query('insert into b values (10)')).error?.sqlstate).toBe('23503');
  expect((await target.query('insert into a values (2, 5)')).error?.sqlstate).toBe('23514');
  session.close();
  target.close();
});

const impossible: Readonly<Record<string, readonly [statements: readonly string[], reason: RegExp]>> = {
  'a child of another owner than its parent': [
    ['create temp table a (id int)', 'create temp table b () inherits (a)', 'alter table b owner to friend'],
    /parent of another owner of b/,
  ],
  'a disabled constraint': [
    [
      'create temp table a (id int primary key)',
      'create temp table b (id int references a)',
      'alter table b disable trigger all',
    ],
    /disabled constraint of b/,
  ],
  'values no input function accepts': [
    ['create temp table u as select adbin from pg_catalog.pg_attrdef limit 1'],
    /values that no input function accepts in u/,
  ],
  'columns that a parent got later': [
    [
      'create temp table a (x int)',
      'create temp table b (own int) inherits (a)',
      'alter table a add column later int',
    ],
    /columns of the parents, dropped or moved, in b/,
  ],
  'a CYCLE clause that is not read as it is written': [
    [
      `create temp view v as with recursive r (n) as (select 1 union all select n + 1 from r where n < 3)
         cycle n set seen to 'Y' default 'N' using path select n from r`,
    ],
    /mark of a CYCLE .* of view v/,
  ],
  'grants that another role passed on': [
    [
      'create temp table t (n int)',
      'grant select on t to friend with grant option',
      'set role friend',
      'grant select on pg_temp.t to other',
      'reset role',
    ],
    /privileges that its owner did not give on t/,
  ],
  'an aggregate': [['create aggregate pg_temp.total (int) (sfunc = int4pl, stype = int)'], /aggregate total/],
  'extended statistics': [
    ['create temp table t (a int, b int)', 'create statistics pg_temp.st on a, b from t'],
    /statistics st/,
  ],
  'a permanent object that depends on it': [
    [
      `create type pg_temp.e as enum ('a')`,
      `create function app.uses(pg_temp.e) returns int language sql as 'select 1'`,
    ],
    /object that a permanent one depends on: type e/,
  ],
  'a range type with its multirange elsewhere': [
    ['create type pg_temp.r as range (subtype = int, multirange_type_name = app.many)'],
    /range type with its multirange in another schema: r/,
  ],
  'its schema by number': [
    [
      'create temp table t ()',
      'do $$begin execute format($f$create view pg_temp.v as select %L::text$f$, pg_my_temp_schema()::regnamespace); end$$',
    ],
    /schema by number/,
  ],
};

describe('cannot move', () => {
  it.each(Object.entries(impossible))('%s: by name and reason', async (_, [statements, reason]) => {
    const session = await open('postgres');
    await session.run(...statements);
    expect(await obstacleOf(session)).toMatch(reason);
    session.close();
    const admin = await open('postgres');
    await admin.run('drop function if exists app.uses');
    admin.close();
  });

  it('objects of a role that the login user may not become', async () => {
    const [session, admin] = [await open(), await open('postgres')];
    await admin.run('grant other to app');
    await session.run(
      'set role other',
      'create temp table t (n int)',
      'reset role',
      'create temp table mine (n int)',
    );
    expect(await obstacleOf(session)).toBeUndefined();
    await admin.run('revoke other from app');
    expect(await obstacleOf(session)).toMatch(/owner of t \(role other may not be set\)/);
    session.close();
    admin.close();
  });

  it('more than the limit', async () => {
    const session = await open();
    await session.run(
      `create temp table t as select repeat(md5(g::text), 10) from generate_series(1, 300000) g`,
    );
    expect(await obstacleOf(session)).toMatch(/temporary tables of \d+.* over the limit/);
    session.close();
  });
});

it('without the replay it is lost', async () => {
  const session = await open();
  await session.run('create temp table t (n int)');
  const state = await session.look(null, true, true);
  const target = await open();
  const base = await target.look();
  await replay(target.connection, { ...state, tempObjects: base.tempObjects }, base, base, true);
  expect((await target.query('select * from t')).error?.sqlstate).toBe('42P01');
  session.close();
  target.close();
});

it('a permanent object that comes to depend on something is noticed after the first look', async () => {
  const session = await open();
  await session.run(
    `create type pg_temp.e as enum ('a')`,
    'create temp table t (n int)',
    'create temp sequence s',
  );
  const state = await session.look();
  await session.run('alter sequence s owned by t.n');
  const later = await session.look(state);
  expect(later.tempObjects.definitions).not.toEqual(state.tempObjects.definitions);
  await session.run(`create function app.uses(pg_temp.e) returns int language sql as 'select 1'`);
  expect(unmovable(await session.look(later), DEFAULT_LIMITS)).toMatchObject([{ kind: 'tempObjects' }]);
  await session.run('drop function app.uses');
  expect(unmovable(await session.look(later), DEFAULT_LIMITS)).toEqual([]);
  session.close();
});
