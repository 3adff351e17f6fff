/** Rows 10 and 11: everything the catalogs tell of temporary objects, and their contents, is the same after the move. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { EngineRecord } from '../../src/engine/index.js';
import {
  DEFAULT_LIMITS,
  readTempMarks,
  replay,
  unmovable,
  type SessionState,
} from '../../src/session-state/index.js';
import { encode } from '../../src/protocol/index.js';
import { directTo, withPg } from '../support/clients.js';
import { TestEngines } from '../support/engines.js';
import { Backend } from './support.js';

let engines: TestEngines;
let primary: EngineRecord;

beforeAll(async () => {
  engines = await TestEngines.open();
  primary = await engines.primary();
  await withPg(directTo(primary), (admin) =>
    admin.query(`create role app login; create role owner; create role apart login; create role reader;
      grant owner to app; grant all on database postgres to public;
      create type mood as enum ('good', 'bad'); create domain positive as int check (value > 0);
      create table permanent (id int primary key); create function twice(int) returns int language sql immutable return $1 * 2;
      create collation if not exists odd (provider = icu, locale = 'de')`),
  );
});
afterAll(async () => {
  await engines?.close();
});

const TEMP = 'pg_my_temp_schema()';
/** What can be seen of it, without what has to differ: oids, and the number of the schema. */
const OBSERVED: readonly string[] = [
  `select relname, relkind, relpersistence, relnatts - (select count(*) from pg_attribute where attrelid = c.oid and attisdropped)
     as natts, reloptions, relreplident, relispartition, pg_get_expr(relpartbound, oid), pg_get_partkeydef(oid), relacl,
     pg_get_userbyid(relowner), relhasindex, relchecks, obj_description(oid, 'pg_class'), reltuples >= 0 and relkind = 'r'
   from pg_class c where relnamespace = ${TEMP} and relkind <> 'i' order by relname`,
  `select c.relname, row_number() over (partition by c.oid order by a.attnum), a.attname, format_type(a.atttypid, a.atttypmod),
     a.attnotnull, a.attidentity, a.attgenerated, a.attislocal, a.attinhcount, a.attcollation::regcollation, a.attstorage,
     a.attcompression, a.attstattarget, a.attacl, col_description(c.oid, a.attnum), pg_get_expr(d.adbin, d.adrelid)
   from pg_attribute a join pg_class c on c.oid = a.attrelid left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
   where c.relnamespace = ${TEMP} and a.attnum > 0 and not a.attisdropped and c.relkind <> 'i' order by 1, 2`,
  `select conrelid::regclass, contypid::regtype, conname, contype, pg_get_constraintdef(oid), conislocal, coninhcount, convalidated,
     obj_description(oid, 'pg_constraint') from pg_constraint where connamespace = ${TEMP} order by 1, 2, 3`,
  `select indexrelid::regclass, pg_get_indexdef(indexrelid), indisclustered, indisreplident, obj_description(indexrelid, 'pg_class')
   from pg_index i join pg_class c on c.oid = i.indrelid where c.relnamespace = ${TEMP} and c.relkind <> 't' order by 1`,
  `select tgname, pg_get_triggerdef(t.oid), tgenabled, obj_description(t.oid, 'pg_trigger') from pg_trigger t
   join pg_class c on c.oid = tgrelid where c.relnamespace = ${TEMP} and not tgisinternal order by 1`,
  `select i.inhrelid::regclass, i.inhparent::regclass, i.inhseqno from pg_inherits i join pg_class c on c.oid = i.inhrelid
   where c.relnamespace = ${TEMP} order by 1, 3`,
  `select t.typname, t.typtype, t.typacl, pg_get_userbyid(t.typowner), t.typnotnull, t.typdefault, format_type(t.typbasetype, t.typtypmod),
     array(select enumlabel from pg_enum where enumtypid = t.oid order by enumsortorder), obj_description(t.oid, 'pg_type')
   from pg_type t where t.typnamespace = ${TEMP} order by 1`,
  `select proname, case when prokind <> 'a' then pg_get_functiondef(oid) end, proacl, pg_get_userbyid(proowner), obj_description(oid, 'pg_proc')
   from pg_proc where pronamespace = ${TEMP} order by 1, 2`,
  `select relname, pg_get_viewdef(oid) from pg_class where relnamespace = ${TEMP} and relkind = 'v' order by 1`,
  `select seqrelid::regclass, format_type(seqtypid, null), seqstart, seqincrement, seqmax, seqmin, seqcache, seqcycle,
     (select concat(refobjid::regclass, refobjsubid > 0, deptype) from pg_depend where objid = seqrelid and deptype in ('a', 'i')
       and refclassid = 'pg_class'::regclass)
   from pg_sequence join pg_class c on c.oid = seqrelid where c.relnamespace = ${TEMP} order by c.relname`,
];

const observe = async (backend: Backend): Promise<unknown> => {
  const [[schema]] = (await backend.rows(`select ${TEMP}::regnamespace`)) as [[string]];
  const seen: unknown[] = [];
  for (const sql of OBSERVED) seen.push(await backend.rows(sql));
  const relations = await backend.rows(
    `select quote_ident(relname), relkind from pg_class where relnamespace = ${TEMP} and relkind in ('r', 'S', 'v') order by 1`,
  );
  for (const [name, kind] of relations) {
    const { sets, error } = await backend.query(
      kind === 'S'
        ? `select last_value, is_called from pg_temp.${name}`
        : `select t::text from pg_temp.${name} t`,
    );
    seen.push([name, sets, error?.message]);
  }
  return JSON.parse(JSON.stringify(seen).replaceAll(`${schema}.`, 'pg_temp.')) as unknown;
};

const move = async (from: Backend, user = 'app'): Promise<Backend> => {
  const to = await Backend.open(primary, { user });
  const base = await to.look();
  const warm = await from.look();
  const wanted: SessionState = await from.look(warm, false, true);
  expect(unmovable(wanted, DEFAULT_LIMITS)).toEqual([]);
  await replay(to.connection, wanted, base, base, true);
  return to;
};

const cases: readonly (readonly [string, readonly string[]])[] = [
  [
    'columns of every kind',
    [
      `create temp table t (a int not null, b numeric(7,2) default 1.5, c text collate "C" default 'x''y\\z', d varchar(9) not null,
       e timestamptz default now(), f int[] default '{1,2}', g mood default 'bad', h positive, i jsonb, j bytea, k bit(3), l money,
       m int generated always as (a * 2) stored, n interval, o float8, p "char", q name, r point, s regclass, u int4range)`,
      `insert into t (a, d, i, j, k, l, n, o, p, q, r, s, u) select g, 'd' || g, '{"a": null}', '\\x00ff', '101', 12.5, '1 day 2 h', 1/3.0::float8, 'p', 'q',
       '(1,2)', 'permanent', '[1,5)' from generate_series(1, 50) g`,
      `insert into t (a, d, c, f) values (0, '', null, null), (-1, E'tab\\tnl\\n\\\\', 'ünï ✓', '{}')`,
    ],
  ],
  [
    'dropped columns, storage, compression, statistics, options',
    [
      `create temp table t (a int, b text, c text, d int) with (fillfactor = 70)`,
      `alter table t drop column a`,
      `alter table t alter b set storage external, alter c set compression pglz, alter c set statistics 77`,
      `insert into t values (repeat('x', 9000), repeat('y', 9000), 3)`,
      `alter table t add e int default 7`,
    ],
  ],
  [
    'serial, identity, owned and free sequences',
    [
      `create temp table t (a serial, b int generated by default as identity (start 10 increment 5), c int generated always as identity)`,
      `insert into t select from generate_series(1, 4)`,
      `create temp sequence s increment -3 minvalue -100 maxvalue 50 start 50 cache 4 cycle`,
      `create temp sequence untouched`,
      `create temp sequence small as smallint`,
      `select nextval('s'), nextval('small')`,
      `select setval('small', 30, false)`,
      `create temp table u (a int default nextval('s'))`,
    ],
  ],
  [
    'constraints and indexes',
    [
      `create temp table p (id int primary key, n text unique, r int4range, exclude using gist (r with &&))`,
      `create temp table c (id int references p on delete cascade deferrable initially deferred, v int check (v > 0), constraint "odd name" check (v < 100) not valid)`,
      `insert into p values (1, 'a', '[1,2)'), (2, 'b', '[3,4)')`,
      `insert into c values (1, 5), (2, 6)`,
      `create index on c (v)`,
      `create unique index "i ""q""" on c (lower(v::text) desc nulls last, id) include (v) where v > 1`,
      `cluster c using c_v_idx`,
      `alter table p replica identity using index p_pkey`,
      `comment on constraint "odd name" on c is 'why'`,
      `comment on index c_v_idx is 'it''s'`,
      `analyze p`,
    ],
  ],
  [
    'triggers and functions',
    [
      `create table if not exists pg_temp.t (a int, b int)`,
      `create function pg_temp.f() returns trigger language plpgsql as $$begin new.b := new.a * 10; return new; end$$`,
      `create trigger up before insert or update of a on t for each row when (new.a > 0) execute function pg_temp.f()`,
      `create trigger off after delete on t execute function pg_temp.f()`,
      `alter table t disable trigger off`,
      `insert into t (a) values (1), (2)`,
      `create function pg_temp.add(a int, b int default 2) returns int language sql immutable as 'select a + b'`,
      `create procedure pg_temp.proc(inout x int) language plpgsql as $$begin x := x + 1; end$$`,
      `comment on function pg_temp.add(int, int) is 'sum'`,
      `create temp table d (a int default pg_temp.add(1), g int generated always as (pg_temp.add(5, 6)) stored)`,
      `insert into d default values`,
      `revoke execute on function pg_temp.add(int, int) from public`,
      `create function pg_temp.rows() returns setof t language sql begin atomic select * from t; end`,
    ],
  ],
  [
    'types and domains',
    [
      `create type pg_temp.e as enum ('b', 'a')`,
      `alter type pg_temp.e add value 'é''' before 'a'`,
      `create domain pg_temp.d as pg_temp.e default 'a' not null check (value <> 'b')`,
      `create type pg_temp.pair as (x int, y pg_temp.d)`,
      `create type pg_temp.fr as range (subtype = float8, subtype_diff = float8mi)`,
      `create temp table t (a pg_temp.e, b pg_temp.d, c pg_temp.pair, d pg_temp.e[], e pg_temp.fr)`,
      `insert into t values ('a', 'a', row(1, 'a'), '{a,b}', '[1,2]')`,
      `comment on type pg_temp.pair is 'two'`,
      `create domain pg_temp.w as numeric(5,1) check (value > 1) check (value < 9)`,
    ],
  ],
  [
    'views, over one another',
    [
      `create temp table t (a int, b text)`,
      `insert into t values (1, 'x')`,
      `create temp view v1 as select a as "A ""q""", b from t where a > 0`,
      `create temp view v2 with (security_barrier) as select v1.*, permanent.id from v1 left join permanent on id = "A ""q"""`,
      `create view pg_temp.v3 as select * from v2 union select a, b, null from pg_temp.t`,
      `comment on view v3 is 'third'`,
      `comment on column v3.b is 'col'`,
      `create function pg_temp.f(t) returns int language sql as 'select 1'`,
      `create temp view v4 as select pg_temp.f(t) from t`,
    ],
  ],
  [
    'inheritance and partitions',
    [
      `create temp table p (a int, b text default 'p', check (a > 0))`,
      `create temp table c (x int) inherits (p)`,
      `insert into p values (1)`,
      `insert into c values (2, 'c', 3)`,
      `create temp table part (k int, v text) partition by range (k)`,
      `create temp table part1 partition of part for values from (0) to (10)`,
      `create temp table part2 partition of part default`,
      `insert into part select g, g::text from generate_series(1, 20) g`,
    ],
  ],
  [
    'comments and privileges',
    [
      `create temp table t (a int, b int)`,
      `comment on table t is E'a\\\\b ''q'' ✓'`,
      `comment on column t.b is 'bee'`,
      `grant select on t to reader with grant option`,
      `grant update (b) on t to reader, public`,
      `revoke insert on t from app`,
      `create temp sequence s`,
      `grant usage on s to reader`,
      `create temp view v as select 1`,
      `grant all on v to public`,
    ],
  ],
  [
    'names with quotes, unicode, 63 bytes',
    [
      `create temp table "T ""q"" 'a' é" ("C ""x""" int default 5, "select" text)`,
      `insert into "T ""q"" 'a' é" values (1, 'x')`,
      `create index "I 'é'" on "T ""q"" 'a' é" ("select")`,
      `create temp sequence "${'s'.repeat(63)}"`,
      `create type pg_temp."E é" as enum ('"')`,
      `create temp table "pg_temp.x" (a pg_temp."E é")`,
      `create function pg_temp."F ""'"() returns text language sql as $$select 'pg_temp'$$`,
    ],
  ],
  [
    'of another owner',
    [
      `create temp table mine (a int)`,
      `set role owner`,
      `create temp table theirs (a serial, b text check (b <> ''))`,
      `insert into theirs (b) values ('x')`,
      `create function pg_temp.f() returns int language sql as 'select 1'`,
      `create type pg_temp.e as enum ('x')`,
      `create index on theirs (b)`,
      `reset role`,
    ],
  ],
  [
    'empty tables, tables without columns',
    [
      `create temp table a ()`,
      `create temp table b (x int)`,
      `create temp table c (g int generated always as (1) stored)`,
      `insert into c default values`,
      `insert into a default values`,
      `insert into a default values`,
    ],
  ],
];

describe('is the same on another backend', () => {
  it.each(cases)('%s', async (_, texts) => {
    const from = await Backend.open(primary, { user: 'app' });
    await from.run(...texts.map((text) => Buffer.from(text)));
    const before = await observe(from);
    const to = await move(from);
    expect(await observe(to)).toEqual(before);
    // And from there once more.
    const third = await move(to);
    expect(await observe(third)).toEqual(before);
    for (const backend of [from, to, third]) backend.close();
  });
});

describe('ON COMMIT DELETE ROWS', () => {
  const survives = async (backend: Backend, table: string): Promise<boolean> => {
    await backend.run('begin', `insert into ${table} select`, 'commit');
    return (await backend.rows(`select from ${table}`)).length > 0;
  };

  it('is seen, whatever made the table and whatever it has', async () => {
    const from = await Backend.open(primary, { user: 'app' });
    await from.run(
      'create temp table gone (a int) on commit delete rows',
      '/* c */ CREATE LOCAL TEMPORARY TABLE IF NOT EXISTS pg_temp."Go""ne" (a int) ON  COMMIT\nDELETE ROWS; select 1',
      'create temp table stays (a int) on commit preserve rows',
      'create temp table again (a int) on commit delete rows; drop table again; create temp table again (a int)',
      `do $$begin create temp table hidden (a int) on commit delete rows; end$$`,
      'create temp table before (a int) on commit delete rows; alter table before rename to "re named"',
      `create temp table strict (a int default 1 not null check (a > 0) primary key, b int generated always as identity,
         c text default 'x') on commit delete rows`,
      'revoke all on strict from current_user; grant select on strict to app',
      'create temp table parent (a int)',
      'create temp table child () inherits (parent) on commit delete rows',
      'create temp table rolled (a int) on commit delete rows',
      'begin; insert into rolled values (1); rollback',
      'set default_transaction_read_only = on',
    );
    const to = await move(from);
    await to.run('set default_transaction_read_only = off', 'grant insert on strict to app');
    const outcomes: Record<string, boolean> = {};
    for (const table of [
      'gone',
      '"Go""ne"',
      'stays',
      'again',
      'hidden',
      '"re named"',
      'strict',
      'parent',
      'child',
      'rolled',
    ])
      outcomes[table] = await survives(to, table);
    expect(outcomes).toEqual({
      ...{ gone: false, '"Go""ne"': false, stays: true, again: true, hidden: false, '"re named"': false },
      ...{ strict: false, parent: true, child: false, rolled: false },
    });
    for (const backend of [from, to]) backend.close();
  });

  it('is asked once of a table, and that leaves no trace', async () => {
    const from = await Backend.open(primary, { user: 'app' });
    await from.run(
      'create temp table t (a serial, b text not null check (b <> $$$$), unique (a)) on commit delete rows',
      `create function pg_temp.tell() returns trigger language plpgsql as $$begin raise 'fired'; end$$`,
      'create trigger t before insert on t for each row execute function pg_temp.tell()',
      'create temp view v as select a from t',
    );
    const before = await observe(from);
    const first = await from.look();
    expect(first.tempObjects.onCommit.size).toBe(1);
    expect(await observe(from)).toEqual(before);
    const asked = vi.spyOn(from.connection, 'exchange');
    expect((await from.look(first)).tempObjects).toEqual({
      ...first.tempObjects,
      // It was a transaction.
      snapshot: expect.any(String) as string,
    });
    expect(asked.mock.calls.map(([messages]) => messages.toString('latin1')).join()).not.toContain(
      'drop column',
    );
    expect((await from.query(`select currval('t_a_seq')`)).error?.sqlstate).toBe('55000');
    from.close();
  });

  it('that cannot be tried out makes an empty table an obstacle', async () => {
    const from = await Backend.open(primary, { user: 'app' });
    await from.run('create temp table hidden (a int)');
    const refusing = (sql: string): Promise<unknown> =>
      withPg(directTo(primary), (admin) => admin.query(sql));
    await refusing(`create function refuse() returns event_trigger language plpgsql as $$begin raise 'no'; end$$;
      create event trigger refuse on ddl_command_start when tag in ('ALTER TABLE') execute function refuse()`);
    const [obstacle] = unmovable(await from.look(), DEFAULT_LIMITS);
    await refusing('drop event trigger refuse; drop function refuse');
    expect(obstacle).toMatchObject({
      kind: 'tempObjects',
      detail: expect.stringContaining('hidden') as unknown,
    });
    expect(unmovable(await from.look(), DEFAULT_LIMITS)).toEqual([]);
    from.close();
  });

  it('an empty schema of temporary objects is there, too', async () => {
    const from = await Backend.open(primary, { user: 'app' });
    await from.run('create temp table t (a int); drop table t', 'set default_transaction_read_only = on');
    const to = await move(from);
    for (const backend of [from, to])
      expect((await backend.query('select pg_temp.f(1)')).error?.sqlstate).toBe('42883');
    for (const backend of [from, to]) backend.close();
  });
});

describe('what stands in the way is named', () => {
  it.each([
    ['an aggregate', 'create aggregate pg_temp.total (int) (sfunc = int4pl, stype = int)', /aggregate total/],
    [
      'row security',
      'create temp table t (a int); alter table t enable row level security',
      /row security of t/,
    ],
    ['a rule', 'create temp table t (a int); create rule r as on insert to t do also notify x', /rule on t/],
    ['an operator', 'create operator pg_temp.### (rightarg = int, function = twice)', /operator ###/],
    [
      'extended statistics',
      'create temp table t (a int, b int); create statistics pg_temp.st on a, b from t',
      /statistics st/,
    ],
  ])('%s', async (_, sql, reason) => {
    const from = await Backend.open(primary);
    await from.run(sql);
    const reports = unmovable(await from.look(), DEFAULT_LIMITS);
    expect(reports).toMatchObject([
      { kind: 'tempObjects', detail: expect.stringMatching(reason) as unknown },
    ]);
    from.close();
  });

  it('more than the limit, from the sizes on disk', async () => {
    const from = await Backend.open(primary, { user: 'app' });
    await from.run(`create temp table big as select repeat('x', 1000) from generate_series(1, 2000)`);
    const state = await from.look();
    expect(unmovable(state, { ...DEFAULT_LIMITS, tempBytes: 100_000 })).toMatchObject([
      { kind: 'tempObjects', detail: expect.stringContaining('over the limit of 100000') as unknown },
    ]);
    expect(unmovable(state, DEFAULT_LIMITS)).toEqual([]);
    from.close();
  });
});

/** What the mark has to notice, one after the other; the last ones are done by somebody else. */
const changes: readonly string[] = [
  ...[
    'table t',
    'column t.a',
    'index t_b',
    'constraint positive on t',
    'domain pg_temp.d',
    'view v',
    'trigger tr on t',
  ].map((what) => `comment on ${what} is 'x'`),
  ...[
    'set (fillfactor = 70)',
    'set (toast.autovacuum_enabled = off)',
    'replica identity full',
    'cluster on t_b',
  ].map((what) => `alter table t ${what}`),
  ...['set default 5', 'drop default', 'set not null', 'set statistics 7', 'type int8'].map(
    (what) => `alter table only t alter a ${what}`,
  ),
  'alter table t alter c set storage external',
  'alter table t add e int',
  'alter table t rename e to g',
  'alter table t drop g',
  'alter table t add check (a > -7) not valid',
  'alter table t validate constraint t_a_check',
  'alter table t disable trigger tr',
  'alter table t rename constraint positive to above',
  'alter index t_b rename to by_b',
  'create index t_a on t (a)',
  'drop index t_a',
  'alter table t add unique (a)',
  'grant select on t to reader',
  'grant select (a) on t to reader',
  'revoke all on t from reader',
  'analyze t',
  'create temp table child () inherits (t)',
  'alter table child no inherit t',
  'alter table child inherit t',
  'drop table child',
  'alter table t rename to u',
  'alter table u rename to t',
  'alter table t alter i add generated always as identity',
  'alter table t alter i set increment 5',
  'alter table t alter i drop identity',
  'alter sequence s owned by t.a',
  'alter sequence s cycle',
  'drop sequence s',
  `alter type pg_temp.e add value 'z'`,
  `alter type pg_temp.e rename value 'z' to 'y'`,
  'alter domain pg_temp.d set default 3',
  'alter domain pg_temp.d add constraint big check (value > 3)',
  'alter type pg_temp.c add attribute y text',
  'create or replace view v as select b, 1 as one from t',
  'alter view v set (security_barrier = true)',
  'create or replace function pg_temp.f() returns int language sql as $$select 2$$',
  'alter function pg_temp.f() cost 7',
  'create aggregate pg_temp.g (int) (sfunc = int4pl, stype = int)',
  'drop aggregate pg_temp.g (int)',
  'create rule r as on insert to t do also select 1',
  'drop rule r on t',
  'create policy p on t',
  'drop policy p on t',
  'create statistics pg_temp.st on a, b from t',
  'drop statistics pg_temp.st',
  `create collation pg_temp.col (provider = icu, locale = 'de')`,
  'create function public.depends(pg_temp.e) returns int language sql as $$select 1$$',
  'drop function public.depends(pg_temp.e)',
  'create cast (pg_temp.e as int4) with inout',
  'drop cast (pg_temp.e as int4)',
  'alter default privileges grant select on tables to reader',
  'alter default privileges revoke select on tables from reader',
  ...[
    'alter type far.kind rename to sort',
    `alter type far.sort rename value 'k' to 'l'`,
    'alter table far.permanent rename n to m',
    'alter table far.permanent rename to lasting',
    'alter sequence far.counter rename to count',
    'alter function far.lowest() rename to least',
    'alter collation far.german rename to deutsch',
    'alter operator far.=== (int, int) set schema public',
    'alter schema far rename to near',
    'alter role mark_reader rename to mark_peruser',
    'alter role mark_owner rename to mark_holder',
  ].map((sql) => `as somebody else: ${sql}`),
  'as somebody else: drop type public.dropped cascade',
  'as somebody else: drop function public.dropped() cascade',
];

it('a look notices every change of a catalog, its own and of others', async () => {
  const from = await Backend.open(primary);
  await withPg(directTo(primary), (admin) =>
    admin.query(
      `create type public.dropped as enum ('x'); create function public.dropped() returns int language sql as 'select 1';
       create schema far; create type far.kind as enum ('k'); create table far.permanent (n int); create sequence far.counter;
       create function far.lowest() returns int immutable language sql as 'select 1';
       create collation far.german (provider = icu, locale = 'de');
       create operator far.=== (function = int4eq, leftarg = int, rightarg = int); create role mark_reader; create role mark_owner`,
    ),
  );
  await from.run(
    `create temp table t (a int, b text, c text, i int not null, x public.dropped, y int default public.dropped(), constraint positive check (i > 0))`,
    `create index t_b on t (b)`,
    `create type pg_temp.e as enum ('x')`,
    `create domain pg_temp.d as int`,
    `create type pg_temp.c as (x int)`,
    `create temp sequence s`,
    `create temp view v as select b from t`,
    `create function pg_temp.f() returns int language sql as $$select 1$$`,
    `create function pg_temp.tf() returns trigger language plpgsql as $$begin return new; end$$`,
    `create trigger tr before insert on t for each row execute function pg_temp.tf()`,
    `create temp table far_from (k far.kind default 'k', n int default nextval('far.counter'), l int default far.lowest(),
       g text collate far.german)`,
    `create temp view far_view as select p.n, 'k'::far.kind as k from far.permanent p where n operator(far.===) 3`,
    `create temp table others (a int)`,
    `grant select on others to mark_reader`,
    `alter table others owner to mark_owner`,
  );
  const other = await Backend.open(primary);
  let known = await from.look();
  for (const change of changes) {
    const [, others] = /^as somebody else: (.*)/.exec(change) ?? [];
    if (others === undefined) await from.run(change);
    else await withPg(directTo(primary), (admin) => admin.query(others));
    const seen = await from.look(known, false);
    expect(seen.tempObjects.mark, change).not.toBe(known.tempObjects.mark);
    expect(seen.tempObjects.definitions, change).toEqual(
      (await from.look(null, false)).tempObjects.definitions,
    );
    expect((await from.look(seen, false)).tempObjects.mark, `unchanged after ${change}`).toBe(
      seen.tempObjects.mark,
    );
    // Whoever is asked tells the same.
    const { schema, mark } = seen.tempObjects;
    const told = await readTempMarks(other.connection, ['1', schema]);
    expect(told.bySchema.get(schema), change).toBe(mark);
    known = seen;
  }
  for (const backend of [from, other]) backend.close();
});

it('prepared statements that take or give temporary types work again', async () => {
  const from = await Backend.open(primary, { user: 'app' });
  await from.run(
    `create type pg_temp.e as enum ('x', 'y')`,
    'create temp table t (a pg_temp.e)',
    `insert into t values ('x'), ('y')`,
  );
  await from.run('prepare p as select count(*) from t where a = $1');
  await from.send(Buffer.concat([encode.parse('named', 'select a from t where a = $1'), encode.sync()]));
  const to = await move(from);
  expect(await to.rows(`execute p('x')`)).toEqual([['1']]);
  const [reply] = await to.send(
    Buffer.concat([encode.bind('', 'named', ['y']), encode.execute(), encode.sync()]),
  );
  expect(reply).toMatchObject({ error: null, sets: [[['y']]] });
  for (const backend of [from, to]) backend.close();
});
