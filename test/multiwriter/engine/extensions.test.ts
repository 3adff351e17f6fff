/** Types and functions of the extensions that come with PostgreSQL: as columns, keys, references, in indexes and generated columns. */
import { beforeAll, expect, it } from 'vitest';
import { useTwoWriters, writeOnBoth } from './writers.js';

const { a, b, onBoth, areEqual, exclude } = await useTwoWriters();

/** A transaction of the other writer. */
const onB = (...statements: string[]) => writeOnBoth(b, a, ...statements);

const EXTENSIONS = [
  'btree_gist',
  'citext',
  'cube',
  'earthdistance',
  'hstore',
  'intarray',
  'isn',
  'ltree',
  'pg_trgm',
  'seg',
  'tablefunc',
  'unaccent',
  'uuid-ossp',
];

beforeAll(async () => {
  for (const name of EXTENSIONS) await onBoth(`create extension "${name}"`);
  await b.client.query('set search_path = public');
});

/** Of each type a value, the same one written otherwise, and others. */
const TYPES: readonly (readonly [
  type: string,
  value: string,
  same: string,
  other: string,
  another: string,
])[] = [
  ['citext', 'Abc', 'aBC', 'b', 'c'],
  ['cube', '(1,2)', '(1.0,2)', '(1,2),(3,4)', '(0)'],
  ['hstore', 'a=>1, b=>2', 'b=>2, a=>1', 'a=>NULL', '"x y"=>"q\\"z"'],
  ['ltree', 'Top.Science', 'Top.Science', 'Top', 'a.b.c'],
  ['ltree[]', '{Top.Science,a}', '{Top.Science,a}', '{Top}', '{}'],
  ['seg', '1.0 .. 2', '1.0 .. 2', '1.000', '<1'],
  ['isbn', '978-0-393-04002-9', '0-393-04002-X', '978-0-11-000222-4', '3-16-148410-X'],
  ['ean13', '0220356483481', '022-035648348-1', '978-0-393-04002-9', '4006381333931'],
  ['upc', '220356483481', '220356483481', '036000291452', '012345678905'],
  ['citext[]', '{Abc,d}', '{aBC,D}', '{b}', '{}'],
];

it.each(TYPES)('%s', async (type, value, same, other, another) => {
  await onBoth(`create table t (id int primary key, v ${type}, n int)`);
  await onBoth(`insert into t values (1, '${value}', 1), (2, null, 2), (3, '${other}', 3)`);
  await onBoth(`update t set v = '${another}' where id = 2`, `update t set n = n + 1`);
  await areEqual();
  await onBoth('create unique index u on t (v)');
  expect(
    await exclude(`insert into t values (10, '${same}', 1)`, `delete from t where id = 1`).catch(
      (error: Error) => error.message,
    ),
  ).toMatch(/duplicate key/);
  await onBoth('delete from public.t where id = 1');
  expect(
    await exclude(`insert into t values (10, '${value}', 1)`, `insert into t values (11, '${same}', 1)`),
  ).toBe(true);
  await onBoth(`insert into t values (1, '${same}', 1)`);
  await onBoth(`update t set v = '${value}' where id = 1`);
  expect(await b.rows('select v::text from public.t where id = 1')).toEqual(
    await b.rows(`select '${value}'::public.${type}::text`),
  );
  await onB(
    `update t set id = id + 100`,
    `delete from t where v = '${same}'`,
    `update t set v = '${value}' where id = 103`,
  );
  await areEqual();
  await onBoth('drop table t');
});

it.each(TYPES)('%s as a primary key that is referred to', async (type, value, same, other, another) => {
  await onBoth(`create table p (k ${type} primary key, n int)`);
  await onBoth(`create table c (id int primary key, k ${type} references p on update cascade)`);
  await onBoth(`insert into p values ('${value}', 1), ('${other}', 2)`);
  await onBoth(`update p set n = n + 1`);
  expect(await exclude(`insert into c values (1, '${same}')`, `delete from p where n = 2`)).toBe(true);
  expect(
    await exclude(`insert into p values ('${another}', 9)`, `update p set k = '${another}' where n = 3`),
  ).toBe(true);
  await onBoth(`insert into c values (1, '${same}')`);
  await onBoth(`update p set k = '${another}' where n = 2`);
  await onBoth(`update p set n = 7 where k = '${another}'`);
  await onBoth(`delete from p where k = '${other}'`, `insert into p values ('${other}', 1)`);
  await areEqual();
  await onBoth('drop table c, p');
});

it.each(TYPES)('%s as a partition key', async (type, value, same, other) => {
  await onBoth(
    `create table l (v ${type}, n int) partition by list (v)`,
    `create table l1 partition of l for values in ('${value}')`,
    'create table l2 partition of l default',
  );
  await onBoth(`insert into l values ('${same}', 1), ('${other}', 2), (null, 3)`);
  await areEqual();
  await onBoth('drop table l');
});

it('a seg that is read as another one is refused, wherever it is', async () => {
  await onBoth(
    'create type segs as (s seg)',
    'create table measured (s seg primary key, more seg[], of_row segs, n int)',
  );
  for (const row of [`'1.2345678'`, `'1', '{1.2345678}'`, `'1', null, row('1.2345678')`])
    await expect(onBoth(`insert into measured values (${row})`)).rejects.toMatchObject({
      code: '55000',
      hint: expect.any(String) as string,
    });
  await onBoth(`insert into measured values ('1.23456 .. 2', '{<3,..4,5(+-)0.5}', row('~7e10'), 1)`);
  await onB('update measured set n = 2', `update measured set s = '3'`);
  await onBoth(`update measured set n = 3 where s = '3'`);
  await areEqual();
});

it('numbers of one kind refer to another kind', async () => {
  await onBoth(
    'create table products (k ean13 primary key, n int)',
    'create table books (id int primary key, k isbn references products)',
    'create table books13 (id int primary key, k isbn13 references products on update cascade)',
  );
  await onBoth(`insert into products values ('978-0-393-04002-9', 1), ('978-0-11-000222-4!', 2)`);
  const deletes = 'delete from products where n = 1';
  expect(await exclude(`insert into books values (1, '0-393-04002-X')`, deletes)).toBe(true);
  expect(await exclude(`insert into books13 values (1, '978-0-393-04002-9')`, deletes)).toBe(true);
  await onBoth(`insert into books values (1, '0-393-04002-X')`);
  await onB('update products set n = n + 10');
  await areEqual();
});

it('places on earth, queries, and what is made of such types', async () => {
  await onBoth(
    `create table places (id int primary key, lat float8, lng float8, at earth generated always as (ll_to_earth(lat, lng)) stored)`,
    'create unique index on places (ll_to_earth(lat, lng))',
    'create index on places using gist (at)',
    'create type pair as (h hstore, l ltree, c citext)',
    'create type names as range (subtype = citext)',
    'create table mixed (p pair primary key, a pair[], r names unique, l lquery, t ltxtquery, i query_int)',
  );
  await onBoth('insert into places values (1, 47.1, 8.2), (2, null, 0)');
  await onBoth(`insert into mixed values (row('a=>1', 'a.b', 'X'), array[row('a=>"\\""', 'a.b', 'X')::pair], '[a,B)',
    'Top.*{0,2}.sport*@.!football|tennis{1,}.Russ*|Spain', 'Europe & Russia*@ & !Transportation', '1&(2|3)&!4')`);
  await onB(
    'update places set lat = 12.3456789012345',
    `update mixed set p.c = 'y'`,
    `update mixed set i = '7'`,
  );
  await areEqual();
  expect(await a.rows('select * from dbproxy.left_out')).toEqual([]);
});

it('hstore, ltree and others in generated columns, indexes by expressions, and exclusion constraints', async () => {
  await onBoth(`create table things (id int primary key, h hstore, l ltree, name text, tags int[], period int4range, c cube, i isbn,
    size text generated always as (h -> 'size') stored, depth int generated always as (nlevel(l)) stored,
    sorted int[] generated always as (sort(uniq(tags))) stored, volume float generated always as (cube_size(c)) stored)`);
  await onBoth(`create unique index by_size on things ((h -> 'size'))`);
  await onBoth(`create unique index by_path on things (subpath(l, 0, 1)) where l is not null`);
  await onBoth(
    `create index by_trigram on things using gin (name gin_trgm_ops)`,
    `create index by_trigram2 on things using gist (name gist_trgm_ops(siglen=32))`,
  );
  await onBoth(
    `create index by_tags on things using gin (tags gin__int_ops)`,
    `create index by_tags2 on things using gist (tags gist__intbig_ops)`,
  );
  await onBoth(
    `alter table things add exclude using gist (id with =, period with &&)`,
    `alter table things add exclude using gist (c with &&) where (id > 100)`,
  );
  await onBoth(`insert into things (id, h, l, name, tags, period, c, i) values (1, 'size=>L, x=>NULL', 'a.b', 'Ärger', '{3,1,1}', '[1,3)', '(1,1),(2,3)', '0-393-04002-X'),
    (2, 'size=>M', 'b.c.d', 'Name', '{}', 'empty', '(1,2,3)', '978-0-11-000222-4')`);
  expect(
    await exclude(
      `insert into things (id, h) values (3, 'size=>S, a=>1')`,
      `insert into things (id, h) values (4, 'b=>2, size=>S')`,
    ),
  ).toBe(true);
  expect(
    await exclude(
      `insert into things (id, c) values (103, '(9),(10)')`,
      `insert into things (id, c) values (104, '(10)')`,
    ),
  ).toBe(true);
  await onB(
    `update things set h = h || hstore('size', id::text), l = l || 'z', tags = tags + 7, c = cube_enlarge(c, 1, 3)`,
  );
  await areEqual();
  await onBoth('drop table things');
});

it('unaccent in an index by an IMMUTABLE function of a client, and uuids', async () => {
  await onBoth(
    `create function plain(text) returns text language sql immutable strict as $$ select public.unaccent('public.unaccent', $1) $$`,
  );
  await onBoth(
    `create table people (id uuid primary key default uuid_generate_v4(), name text)`,
    'create unique index by_plain on people (plain(name))',
  );
  await onBoth(`insert into people (name) values ('Jürgen'), ('Zoë')`);
  expect(
    await exclude(`insert into people (name) values ('André')`, `insert into people (name) values ('Andre')`),
  ).toBe(true);
  await onBoth(
    `insert into people (id, name) values (uuid_generate_v1mc(), 'x')`,
    `update people set name = name || 'é'`,
  );
  await onBoth(
    `create table picked as select * from crosstab('select 1, ''a''::text, normal_rand::text from normal_rand(1, 5, 3)') as (r int, x text)`,
  );
  await areEqual();
});
