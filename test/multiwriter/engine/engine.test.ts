/** What a writer's engine captures, certifies, applies and refuses: two real engines, one transaction after the other. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  ApplyDiverged,
  checksums,
  claimed,
  compact,
  type Entry,
  inTurn,
  install,
  ISOLATION_QUERY,
  isTold,
  type Notice,
  reached,
} from '../../../src/multiwriter/engine/index.js';
import { connectAdmin } from '../../../src/engine/index.js';
import { lsn, type Lsn } from '../../../src/multiwriter/protocol/index.js';
import { failure, SECRET, TestWriter, useTwoWriters } from './writers.js';

const { engines, a, b, areEqual } = await useTwoWriters();

/** All that writer 0 committed. */
const log: { at: Lsn; payload: string }[] = [];

/** A transaction of writer 0, which writer 1 then has, too. */
async function onBoth(...statements: string[]) {
  const written = await writeOnA(...statements);
  if (written) expect(await b.apply(written.at, written.writeSet.payload)).toBe(true);
  return written;
}
async function writeOnA(...statements: string[]) {
  const written = await a.write(...statements);
  if (written) log.push({ at: written.at, payload: written.writeSet.payload });
  return written;
}
const entryOf = (written: Awaited<ReturnType<typeof onBoth>>): Entry => ({
  lsn: written!.at,
  payload: written!.writeSet.payload,
});
const modes = (written: Awaited<ReturnType<typeof onBoth>>) =>
  written!.writeSet.keys.map(({ key, mode }) => `${mode} ${key.replace(/:.*/, '')}`).sort();

it('what a transaction captured is found by the index, also by a session that began when the table was empty', async () => {
  await onBoth('create table scanned (id int primary key)');
  // As autovacuum leaves it in an idle database.
  await a.watcher.query('vacuum (truncate) dbproxy.captured');
  const client = await connectAdmin(a.engine, { timeoutMs: 20_000 });
  const scans = async (): Promise<number> => {
    await client.query('select pg_stat_force_next_flush()');
    const { rows } = await client.query<{ n: string }>(
      `select seq_scan as n from pg_stat_user_tables where relid = 'dbproxy.captured'::regclass`,
    );
    return Number(rows[0]!.n);
  };
  try {
    const before = await scans();
    // Plans are kept from the sixth time on.
    for (let id = 0; id < 10; id++) {
      const begun = await a.begin(client);
      await client.query(`insert into public.scanned values (${id})`);
      const { payload } = (await a.close(begun))!;
      const at = await a.certify(client);
      log.push({ at, payload });
      expect(await b.apply(at, payload)).toBe(true);
    }
    expect(await scans()).toBe(before);
  } finally {
    await client.end();
  }
  await areEqual();
});

describe('values', () => {
  it.each([
    ['numeric', `'NaN'`, `'-0.000'`, `'1e100'`, `'Infinity'`],
    ['float8', `'NaN'`, `'-0'`, `0.1::float8 + 0.2::float8`, `'-Infinity'`],
    ['float4', `'1e-40'`, `3.4e38`, `0.1`],
    ['timestamptz', `'infinity'`, `'0044-03-15 12:00 BC'`, `'2024-02-29 23:59:59.999999+05:45'`],
    ['date', `'-infinity'`, `'01.02.2024'`],
    ['interval', `'-1 mon +2 days -3:04:05.6'`, `'1 year -1 sec'`],
    ['bytea', `'\\x00ff'`, `''`],
    ['text', `''`, `'(",\\'`, `E'\\n\\t'`, `repeat('x', 3000000)`, `'NULL'`],
    ['char(5)', `'ab'`, `''`],
    ['bit varying', `B'010'`, `''`],
    ['money', `12.34`],
    ['jsonb', `'{"a": [1, null, "x"]}'`],
    ['json', `'{"a" :1,"a":2}'`],
    ['text[]', `array['a,b', null, 'NULL', '{}']`, `'{}'`, `'[5:6]={1,2}'`],
    ['int4range', `'[1,5)'`, `'empty'`, `'(,)'`],
    ['regclass', `'public.v_regclass'`],
    ['tsvector', `'a:1A b:2'`],
    ['point', `'(0.1,-0)'`],
    ['xml', `'<a/>'`],
  ])('%s', async (type, ...values) => {
    const table = `v_${type.replaceAll(/\W/g, '_')}`;
    await onBoth(`create table ${table} (id int primary key, v ${type})`);
    await a.client
      .query(`set datestyle = 'German'; set intervalstyle = 'sql_standard'; set extra_float_digits = -15;
      set bytea_output = 'escape'; set timezone = 'Asia/Kathmandu'`);
    await onBoth(...values.map((value, i) => `insert into ${table} values (${i}, ${value})`));
    await onBoth(
      `insert into ${table} values (100)`,
      `update ${table} set v = (select v from ${table} where id = 0) where id = 100`,
    );
    await a.client.query(
      'reset datestyle; reset intervalstyle; reset extra_float_digits; reset bytea_output; reset timezone',
    );
    expect(await b.rows(`select * from public.${table} order by id`)).toEqual(
      await a.rows(`select * from public.${table} order by id`),
    );
    await areEqual();
  });

  it('composites, domains and enums; generated and identity columns', async () => {
    await onBoth(`create type mood as enum ('sad', 'ok'); `);
    await onBoth(`create domain positive as int check (value > 0)`);
    await onBoth(`create type pair as (x mood, y text)`);
    await onBoth(`create table mixed (id int generated always as identity primary key, m mood unique, p pair, d positive,
      twice int generated always as (d * 2) stored)`);
    await onBoth(`insert into mixed (m, p, d) values ('sad', row('ok', 'a,"b'), 3), ('ok', null, null)`);
    await onBoth(`update mixed set d = 4, id = default where m = 'sad'`);
    await onBoth(`delete from mixed where m = 'ok'`);
    await onBoth('create table numbers (id int generated always as identity primary key)');
    await onBoth('insert into numbers default values', 'insert into numbers default values');
    await onBoth('update numbers set id = default where id = 1');
    await onBoth('update numbers set id = default where id = 17', 'delete from numbers where id = 33');
    const computed = 'generated always as (1) stored';
    await onBoth(
      `create table computed (id int ${computed} primary key)`,
      'insert into computed default values',
    );
    await onBoth('update computed set id = default');
    expect(await b.rows('select m, d, twice from public.mixed')).toEqual([['sad', 4, 8]]);
    await areEqual();
  });
});

it('a text that is generated of a number or of bytes is the same everywhere: settings by which it is another one are refused', async () => {
  await onBoth(
    'create domain size as float8',
    `create table texts (id int primary key, f size, b bytea, ft text generated always as ('f ' || f::text) stored, bt text generated always as (b::text) stored)`,
    `create table plain_texts (id int primary key, f float8, b bytea, w text default 'w', t text generated always as (id::text) stored, h text generated always as (encode(sha256(w::bytea), 'hex')) stored)`,
    'create table text_keys (id int primary key, j jsonb)',
    `create unique index on text_keys (((j->>'x')::float8::text))`,
  );
  const values = `values (1, 1.23456789012345, 'abc')`;
  for (const setting of ['extra_float_digits = 0', `bytea_output = 'escape'`]) {
    expect(await failure(onBoth(`set local ${setting}`, `insert into texts ${values}`))).toMatchObject({
      code: '55000',
      hint: expect.any(String) as string,
    });
    await onBoth(`set local ${setting}`, 'delete from plain_texts', `insert into plain_texts ${values}`);
  }
  expect(
    await failure(onBoth('set local extra_float_digits = 0', `insert into text_keys values (1, '{"x": 1}')`)),
  ).toMatchObject({ code: '55000' });
  // As JDBC has it.
  await onBoth('set local extra_float_digits = 3', `insert into texts ${values}`);
  await areEqual();
  await onBoth('alter table texts drop ft, drop bt');
  await onBoth('set local extra_float_digits = 0', 'update texts set f = 0.1::float4');
  await areEqual();
});

describe('keys', () => {
  it('of a row: exclusive when it comes or goes, update when it stays; the table and the schema are shared', async () => {
    await onBoth('create table k (id int primary key, u text unique, v int)');
    const always = ['shared public.k', 'shared schema'];
    expect(modes(await onBoth(`insert into k values (1, 'a', 1)`))).toEqual(
      ['exclusive public.k_pkey', 'exclusive public.k_u_key', ...always].sort(),
    );
    expect(modes(await onBoth(`update k set v = 2`))).toEqual([...always, 'update public.k_pkey'].sort());
    expect(modes(await onBoth(`update k set u = 'b'`))).toEqual(
      ['exclusive public.k_u_key', 'exclusive public.k_u_key', ...always, 'update public.k_pkey'].sort(),
    );
    expect(modes(await onBoth(`update k set id = 2`))).toEqual(
      ['exclusive public.k_pkey', 'exclusive public.k_pkey', ...always].sort(),
    );
    expect(modes(await onBoth(`update k set u = null`))).toEqual(
      ['exclusive public.k_u_key', ...always, 'update public.k_pkey'].sort(),
    );
    expect(modes(await onBoth(`delete from k`))).toEqual(['exclusive public.k_pkey', ...always].sort());
    expect(modes(await onBoth(`truncate k`))).toEqual(['exclusive public.k', 'shared schema']);
  });

  it('of what a foreign key refers to, which is the key of that very row, also of another type; cascades are rows', async () => {
    await onBoth('create table parent (id bigint primary key)');
    await onBoth(
      'create table child (id int primary key, p int references parent on delete cascade on update set null)',
    );
    const parent = await onBoth('insert into parent values (1), (2)');
    const child = await onBoth('insert into child values (1, 1), (2, 2), (3, null)');
    const keysOf = (one: typeof child, mode: string) =>
      one!.writeSet.keys
        .filter((use) => use.mode === mode && use.key.startsWith('public.parent_pkey'))
        .map(({ key }) => key)
        .sort();
    expect(keysOf(child, 'shared')).toEqual(keysOf(parent, 'exclusive'));
    const gone = await onBoth('delete from parent where id = 1');
    expect(gone!.writeSet.changes.map((change) => change.kind)).toEqual(['delete', 'delete']);
    await onBoth('update parent set id = 3 where id = 2');
    expect(await b.rows('select id, p from public.child order by id')).toEqual([
      [2, null],
      [3, null],
    ]);
    await areEqual();
  });

  it.each([
    ['id numeric', '', '(id)', ['1.0', '1.000', '2']],
    ['id float8', '', '(id)', [`'0'`, `'-0'`, `'NaN'`]],
    ['id char(4)', '', '(id)', [`'a'`, `'a  '`, `'b'`]],
    ['id text collate insensitive', '', '(id)', [`'Abc'`, `'aBC'`, `'x'`]],
    ['id text', '', '(id collate insensitive)', [`'Abc'`, `'aBC'`, `'x'`]],
    ['id text', '', '(lower(id))', [`'Abc'`, `'aBC'`, `'x'`]],
    ['id text', '', '(id) where id > $$b$$', [`'c'`, `'c'`, `'d'`]],
    ['id int', '', '(id) nulls not distinct', ['null', 'null', '1']],
    ['id int, v text', '', '(id, v)', [`1, 'a'`, `1, 'a'`, `1, null`, `2, 'a'`]],
    ['id bit(3)', '', '(id)', [`B'101'`, `B'101'`, `B'100'`]],
    ['id int[]', '', '(id)', [`'{1,2}'`, `array[1,2]`, `'{2}'`]],
    ['id interval', '', '(id)', [`'1 day'`, `'24 hours'`, `'2 days'`]],
    ['id jsonb', '', '(id)', [`'{"a":1,"b":2}'`, `'{"b":2,"a":1.0}'`, `'{}'`]],
  ])(
    'two rows of (%s) that %s unique %s holds equal have one key, others have not',
    async (columns, _, index, values) => {
      await onBoth(
        `create collation if not exists insensitive (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`,
      );
      await onBoth(`create table eq (row int primary key, ${columns})`);
      await onBoth(`create unique index eq_index on eq ${index}`);
      const keys: (string | undefined)[] = [];
      for (const [i, value] of values.entries()) {
        const begun = await a.begin();
        await a.client.query(`insert into eq values (${i}, ${value})`);
        const writeSet = await a.close(begun);
        keys.push(writeSet!.keys.find(({ key }) => key.startsWith('public.eq_index'))?.key);
        await a.client.query('rollback');
      }
      expect(keys[0]).toBeDefined();
      expect(keys[1]).toBe(keys[0]);
      for (const other of keys.slice(2)) expect(other).not.toBe(keys[0]);
      await onBoth('drop table eq');
    },
  );

  it('are the same on every writer, also of types whose values are OIDs', async () => {
    // The same definitions get other OIDs there.
    await b.watcher.query('select lo_create(0) from generate_series(1, 10)');
    await onBoth(`create type colour as enum ('red', 'green')`);
    await onBoth('create table coloured (c colour primary key, cs colour[] unique, r regclass unique)');
    const insert = `insert into coloured values ('red', '{green,red}', 'public.coloured')`;
    const keys = await Promise.all(
      [a, b].map(async (writer) => {
        const begun = await writer.begin();
        await writer.client.query(insert);
        const writeSet = await writer.close(begun);
        await writer.client.query('rollback');
        return writeSet!.keys;
      }),
    );
    expect(await a.rows(`select 'public.coloured'::regclass::oid`)).not.toEqual(
      await b.rows(`select 'public.coloured'::regclass::oid`),
    );
    expect(keys[0]!.filter(({ mode }) => mode === 'exclusive')).toHaveLength(3);
    expect(keys[1]).toEqual(keys[0]);
  });

  it('columns may have names that PL/pgSQL keeps for itself', async () => {
    await onBoth('create table words (by int primary key, loop text unique, "all" int, "a""b" int)');
    await onBoth(`insert into words values (1, 'x', 2, 3)`);
    await onBoth(`update words set by = 2, loop = 'y', "all" = 4, "a""b" = 5`);
    expect(await b.rows('select * from public.words')).toEqual([[2, 'y', 4, 5]]);
    await onBoth('delete from words');
    await areEqual();
  });

  it('exclusion constraints have the table as a whole', async () => {
    await onBoth(
      `create table booking (id int primary key, during int4range, exclude using gist (during with &&))`,
    );
    expect(modes(await onBoth(`insert into booking values (1, '[1,5)')`))).toContain(
      'exclusive public.booking',
    );
  });
});

describe('statements', () => {
  it('savepoints, ON CONFLICT, MERGE, COPY, moves between partitions, deferred constraints', async () => {
    await onBoth('create table s (id int primary key, v int)');
    await onBoth(
      'insert into s values (1, 1)',
      'savepoint x',
      'insert into s values (2, 2)',
      'rollback to x',
      'insert into s values (3, 3)',
      'savepoint y',
      'update s set v = 9',
      'release y',
    );
    await onBoth('insert into s values (1, 5), (4, 4) on conflict (id) do update set v = excluded.v');
    await onBoth(
      'merge into s using (values (1), (7)) n (id) on s.id = n.id when matched then delete when not matched then insert values (n.id, 70)',
    );
    await onBoth(`copy s from program 'printf "20\\t1\\n21\\t2\\n"'`);
    await onBoth('update s set id = id + 100');
    expect(await b.rows('select * from public.s order by id')).toEqual([
      [103, 9],
      [104, 4],
      [107, 70],
      [120, 1],
      [121, 2],
    ]);
    await onBoth('create table parted (id int, v text, primary key (id)) partition by range (id)');
    await onBoth('create table low partition of parted for values from (0) to (10)');
    await onBoth('create table high partition of parted for values from (10) to (20)');
    await onBoth(`insert into parted values (1, 'a'), (11, 'b')`);
    expect(
      modes(await onBoth('update parted set id = 15 where id = 1')).filter((key) =>
        key.includes('parted_pkey'),
      ),
    ).toHaveLength(2);
    await onBoth(
      'create table late (id int primary key, p int references parted deferrable initially deferred)',
    );
    await onBoth('insert into late values (1, 3)', 'insert into parted values (3)');
    await areEqual();
  });

  it('definitions: the statements come along, run by the same role, and capture follows', async () => {
    await onBoth('create schema shop');
    const made = await onBoth(
      `create table shop.item (id int primary key, a text)`,
      `insert into shop.item values (1, 'x')`,
    );
    expect(made!.writeSet.ddl).toMatchObject([{ tag: 'CREATE TABLE', role: 'postgres' }]);
    expect(made!.writeSet.keys).toContainEqual({ key: 'schema', mode: 'exclusive' });
    await onBoth(
      'alter table shop.item add column b int default 7',
      'insert into shop.item values (2, null, 8)',
      'alter table shop.item drop column a',
    );
    await onBoth('alter table shop.item rename to thing', 'update shop.thing set b = b + 1');
    await onBoth(
      `do $$ begin create table in_a_block (id int primary key); insert into in_a_block values (1); end $$`,
    );
    expect(await a.write('create temp table own (id int)', 'insert into own values (1)')).toBe(null);
    expect(await b.rows('select * from shop.thing order by id')).toEqual([
      [1, 8],
      [2, 9],
    ]);
    await onBoth('drop table shop.thing');
    await areEqual();
  });

  it('what is there already is no change: nothing of it goes to the others', async () => {
    const definitions = [
      'create schema if not exists there',
      'create table if not exists there.t (id serial primary key, v int)',
      'create index if not exists t_v on there.t (v)',
      'create sequence if not exists there.s',
      'create materialized view if not exists there.m as select 1 as one',
      'create table if not exists there.made as select 1 as one',
      'create extension if not exists fuzzystrmatch schema there',
      'create statistics if not exists there.st on id, v from there.t',
    ];
    for (const sql of definitions)
      expect((await onBoth(sql))?.writeSet.ddl).toMatchObject([
        { tag: expect.stringMatching('^CREATE') as string },
      ]);
    for (const sql of definitions) expect([sql, await a.write(sql)]).toEqual([sql, null]);
    // As applications send it when they start.
    expect(await a.write(definitions.join('; '))).toBe(null);
    expect(await a.write(`do $$ begin ${definitions.join('; ')}; end $$`)).toBe(null);
    // What else there is in the transaction goes, and what is new of it.
    const some = await onBoth(
      ...definitions,
      'create table if not exists there.u (id int primary key)',
      'insert into there.u values (1)',
    );
    expect(some?.writeSet.changes.map(({ kind }) => kind)).toEqual(['ddl', 'insert']);
    await areEqual();
  });

  it('what changes something, and is told by nothing but what is gone, goes to the others', async () => {
    await onBoth('create table told (id int primary key, v int)');
    await onBoth('create role told_role');
    for (const sql of [
      'grant select on told to told_role',
      'revoke select on told from told_role',
      'grant usage on schema public to told_role',
      'alter default privileges in schema public grant select on tables to told_role',
      'alter default privileges in schema public revoke select on tables from told_role',
      'comment on table told is $$x$$',
      'alter table told alter v set default 3',
      'alter table told drop column v',
      `create operator class told_ops for type int using btree as operator 1 <, operator 2 <=, operator 3 =, operator 4 >=, operator 5 >, function 1 btint4cmp(int, int)`,
      'drop operator family told_ops using btree cascade',
      'create schema told_s create table inside (id int primary key)',
      'drop schema told_s cascade',
      'drop owned by told_role',
    ])
      expect([sql, (await onBoth(sql))?.writeSet.ddl.length]).toEqual([sql, 1]);
    await areEqual();
  });

  it('a client that changes definitions gets the notices of PostgreSQL, and none of ours', async () => {
    const notices: (string | undefined)[] = [];
    const listen = ({ code, message }: Notice): void => {
      if (!isTold(code)) notices.push(message);
    };
    a.client.on('notice', listen);
    for (const sql of [
      'create table quiet (id int primary key, e text); create unique index on quiet ((lower(e)))',
      'create unlogged table quiet_u (id int primary key)',
      'create table quiet_k (id int)',
      'alter table quiet_k add primary key (id)',
      'alter table quiet_u set logged',
      'alter table quiet add column more int',
      'drop table quiet',
      'drop table quiet_u, quiet_k',
    ])
      await onBoth(...sql.split(';'));
    expect(notices).toEqual([]);
    await a.write('drop table if exists never_was');
    expect(notices).toEqual(['table "never_was" does not exist, skipping']);
    a.client.off('notice', listen);
    for (const writer of [a, b])
      expect(
        await writer.rows(`select proname from pg_proc where pronamespace = 'dbproxy'::regnamespace
        and proname ~ '^(capture|expressions|apply)_\\d+$' and not exists (select from pg_class c where c.oid = (regexp_match(proname, '\\d+'))[1]::oid)`),
      ).toEqual([]);
  });

  it('what a definition computes is the same everywhere: CREATE TABLE AS, a new column that is volatile; extensions', async () => {
    await onBoth(
      'create table as_it_is as select g, random(), clock_timestamp() from generate_series(1, 5) g',
    );
    await onBoth('create table had_rows (v int primary key); ');
    await onBoth('create table refers (v int primary key references had_rows)');
    await onBoth('insert into had_rows select generate_series(1, 5)', 'insert into refers values (1)');
    await onBoth('alter table had_rows add id serial, add r float8 default random()');
    await onBoth('create extension citext');
    // Its script drops operators of its own.
    const hstore = await onBoth(
      'create extension hstore',
      `create table kept (id int primary key, v public.hstore)`,
    );
    expect(hstore!.writeSet.changes).toMatchObject([
      { kind: 'ddl', tag: 'CREATE EXTENSION' },
      { kind: 'ddl', tag: 'CREATE TABLE' },
    ]);
    expect(await a.write('create extension if not exists hstore')).toBe(null);
    await onBoth('drop extension hstore cascade', 'drop table kept');
    await onBoth(`create extension hstore version '1.4'`, `alter extension hstore update to '1.8'`);
    await onBoth(
      'create role extender',
      'do $$ begin execute format($f$grant create on database %I to extender$f$, current_database()); end $$',
      'set local role extender',
      'create extension pg_trgm',
    );
    await onBoth(
      'create table ci (id int primary key, v public.citext unique)',
      `insert into ci values (1, 'Abc')`,
    );
    await areEqual();
    const unclear = { code: '0A000', hint: expect.stringContaining('one by one') as string };
    expect(await failure(a.write('create table x1 (); create table x2 ()'))).toEqual(unclear);
    await onBoth(`create function in_sql() returns void language sql as 'create table x3 (id int)'`);
    expect(await failure(a.write('select in_sql()'))).toEqual(unclear);
  });

  it('what is about a temporary table is nobody else’s business', async () => {
    await onBoth('create role reader');
    await onBoth('create table lasting (id int primary key, v text)');
    await onBoth(
      'create function does_nothing() returns trigger language plpgsql as $$ begin return null; end $$',
    );
    await a.write('create temp table tmp (id int primary key, v text)', `insert into tmp values (1, 'x')`);
    for (const sql of [
      'grant select on tmp to reader',
      'grant update (v) on tmp to reader',
      'revoke select on tmp from reader',
      'create trigger t after insert on tmp for each row execute function does_nothing()',
      'alter trigger t on tmp rename to u',
      `comment on trigger u on tmp is 'x'`,
      'drop trigger u on tmp',
      'create policy p on tmp using (true)',
      'alter policy p on tmp using (false)',
      'drop policy p on tmp',
      'create rule r as on delete to tmp do instead nothing',
      'drop rule r on tmp',
      'alter table tmp add w int default 1',
      'create index on tmp (v)',
      'create view seen as select * from tmp',
      'drop view seen',
      'create table if not exists lasting as select 1',
    ])
      expect(await onBoth(sql), sql).toBe(null);
    // And of others it is theirs, also in one transaction.
    await onBoth(
      'create table other (id int primary key)',
      'grant select on tmp to reader',
      'grant insert on other to reader',
    );
    await onBoth(
      'grant select (v) on lasting to reader',
      'savepoint s',
      'revoke all on tmp from reader',
      'grant all on lasting to reader',
    );
    await onBoth(
      'create policy p on lasting using (true)',
      'create rule r as on delete to lasting do instead nothing',
    );
    await onBoth('drop policy p on lasting', 'drop rule r on lasting');
    const rights = `select relname, relacl::text from pg_class where relname in ('lasting', 'other') order by 1`;
    expect(await b.rows(rights)).toEqual(await a.rows(rights));
    await areEqual();
  });

  it('a table made of temporary ones, or of a prepared query, is made of its columns elsewhere', async () => {
    await onBoth(
      'create table report with (fillfactor = 70) as select id, v as "Value", v collate "C" as c, 1.5::numeric(4, 2) as n from tmp',
    );
    await onBoth('select v into noted from tmp');
    await a.client.query('prepare p as select * from tmp');
    await onBoth('create table executed as execute p', 'insert into executed values (2)');
    await onBoth('do $$ begin create table in_block as select * from tmp; end $$');
    await onBoth('create table empty_one as select from tmp with no data');
    const shape = `select relname, reloptions::text, attname, format_type(atttypid, atttypmod), attcollation from pg_attribute join pg_class c on c.oid = attrelid
      where attnum > 0 and relname in ('report', 'noted', 'executed', 'in_block', 'empty_one') order by relname, attnum`;
    expect(await b.rows(shape)).toEqual(await a.rows(shape));
    expect(await b.rows('select * from public.report')).toEqual([[1, 'x', 'x', '1.50']]);
    await areEqual();
  });

  it('what the others could not have for want of something temporary is refused', async () => {
    await a.client.query(`create type pg_temp.state as enum ('on')`);
    await a.client.query(`create function pg_temp.f() returns int language sql as 'select 1'`);
    for (const sql of [
      'create table alike (like tmp)',
      'create table alike (at int, like /* this */ pg_temp.tmp including all)',
      'create table of_rows as select tmp from tmp',
      'create table of_type (s pg_temp.state)',
      'alter table lasting add s pg_temp.state',
      'create table by_default (i int default pg_temp.f())',
      'alter table lasting add check (pg_temp.f() = 1)',
      'create function takes_tmp(tmp) returns int language sql as $$ select 1 $$',
      'create statistics public.st on id, v from tmp',
      'grant select on tmp, lasting to reader',
      'drop table tmp, lasting',
    ])
      expect(await failure(a.write(sql)), sql).toEqual({ code: '0A000', hint: expect.any(String) as string });
    await onBoth(
      'create table alike (like lasting)',
      `create table matches (v text check (v like 'tmp' or v like 5::text))`,
    );
    await a.client.query('discard temp');
    await areEqual();
  });

  it('capture follows: partitions that are attached, children, new and dropped indexes, other owners', async () => {
    await onBoth(
      'create table whole (id int primary key, u int) partition by list (id)',
      'create table part (id int not null, u int)',
    );
    await onBoth('alter table whole attach partition part for values in (1, 2, 3)');
    expect(modes(await onBoth('insert into whole values (1, 1)'))).toContain('exclusive public.whole_pkey');
    await onBoth(
      'create table elder (id int primary key, v int)',
      'create table younger (primary key (id), w int) inherits (elder)',
    );
    await onBoth(
      'insert into younger values (1, 2, 3)',
      'update elder set v = 9',
      'create unique index later on younger (w)',
    );
    expect(modes(await onBoth('update younger set w = 4'))).toContain('exclusive public.later');
    await onBoth('drop index later');
    expect(modes(await onBoth('update younger set w = 5'))).not.toContain('exclusive public.later');
    await areEqual();
  });

  it('what the owner of a table wrote runs as the owner, here and where it is applied', async () => {
    await onBoth('create role owner');
    await onBoth('create schema owned authorization owner');
    await onBoth(
      'set local role owner',
      `create function owned.who(int) returns text immutable language plpgsql as $$ begin
      if current_user <> 'owner' then raise exception 'as %', current_user; end if; return $1::text; end $$`,
    );
    await onBoth(
      'set local role owner',
      'create table owned.t (id int primary key, check (owned.who(id) <> $$0$$))',
    );
    await onBoth('set local role owner', 'create unique index who on owned.t (owned.who(id))');
    expect(modes(await onBoth('set local role owner', 'insert into owned.t values (1)'))).toContain(
      'exclusive owned.who',
    );
    await areEqual();
  });

  it('changes of rows come before the definitions that follow them, also in a function, and what a savepoint takes back does not come', async () => {
    await onBoth(
      'create table in_turn (id int primary key, v int)',
      'create table aside (id int primary key)',
    );
    await onBoth(
      `create function changes() returns void language plpgsql as $$ begin
         insert into in_turn values (3, 3);
         begin insert into in_turn values (4, 4); raise exception 'x'; exception when others then null; end;
         alter table in_turn add column w int default 7;
         update in_turn set v = 30 where id = 3;
       end $$`,
    );
    const written = await onBoth(
      'insert into in_turn values (1, 1), (2, 2)',
      'insert into aside values (1)',
      'savepoint s',
      'update in_turn set v = 0',
      'rollback to s',
      'alter table in_turn add check (v < 100)',
      'delete from in_turn where id = 2',
      'select changes()',
      'create table last (id int primary key)',
      'insert into last values (1)',
    );
    expect(written!.writeSet.changes.map((change) => ('sql' in change ? change.tag : change.kind))).toEqual([
      ...['insert', 'insert', 'insert', 'ALTER TABLE', 'delete', 'insert', 'ALTER TABLE', 'update'],
      ...['CREATE TABLE', 'insert'],
    ]);
    await onBoth('insert into last values (2)', 'drop table last');
    await areEqual();
  });

  it('a table that is changed and truncated in one transaction', async () => {
    await onBoth('create table emptied (id int primary key)');
    await onBoth('insert into emptied values (1)', 'truncate emptied', 'insert into emptied values (2)');
    await areEqual();
  });

  it('SET CONSTRAINTS by a client is not taken for a COMMIT', async () => {
    await onBoth('create table sc (id int primary key, u int unique deferrable)');
    await onBoth(
      'insert into sc values (1, 1)',
      'set constraints all immediate',
      'insert into sc values (2, 2)',
      'set constraints all immediate',
    );
    await a.client.query('begin; insert into sc values (3, 3)');
    await a.client.query('set constraints all immediate');
    expect((await failure(a.client.query('commit')))?.code).toBe('25000');
    await areEqual();
  });

  it('sequences: writers give out different numbers, also after setval, ALTER SEQUENCE and TRUNCATE RESTART IDENTITY', async () => {
    await onBoth('create table n (id serial primary key, o int generated by default as identity)');
    const next = async (writer: TestWriter) =>
      (await writer.client.query<{ n: string }>(`select nextval('n_id_seq') as n`)).rows[0]!.n;
    expect([await next(a), await next(a), await next(b), await next(b)]).toEqual(['1', '17', '2', '18']);
    await onBoth(`select setval('n_id_seq', 100)`);
    expect([await next(a), await next(b)].map(Number).map((value) => [value > 100, value % 16])).toEqual([
      [true, 1],
      [true, 2],
    ]);
    await onBoth('alter sequence n_id_seq increment 5 restart 1000');
    const [x, y] = [Number(await next(a)), Number(await next(b))];
    expect(x).toBeGreaterThanOrEqual(1000);
    expect((y - x) % 80).not.toBe(0);
    await onBoth('insert into n (o) values (default), (default)', 'truncate n restart identity');
    const [again] = (await a.client.query<{ n: string }>(`select nextval('n_o_seq') as n`)).rows;
    expect(again).toEqual({ n: '1' });
    // A copy of the engine becomes another writer.
    const copied = await engines.primary();
    const copy = await TestWriter.open(copied, 0);
    await copy.write('create sequence kept start 7');
    expect(await copy.rows(`select nextval('public.kept') from generate_series(1, 2)`)).toEqual([
      ['7'],
      ['23'],
    ]);
    await install(copy.watcher, { writer: 3, writers: [0, 1, 3], incarnation: 1, secret: 'x' });
    expect(Number(((await copy.rows(`select nextval('public.kept')`))[0] as string[])[0]) % 16).toBe(10);
    await copy.end();
  });
});

describe('refusals', () => {
  it('what did not come by the proxy', async () => {
    await onBoth('create table g (id int primary key)');
    const bypass = (sql: string) => failure(a.client.query(sql)).finally(() => a.client.query('rollback'));
    const refused = { code: '25000', hint: expect.stringContaining('dbproxy') as string };
    expect(await bypass('insert into g values (1)')).toEqual(refused);
    expect(await bypass(`begin; insert into g values (1); commit`)).toEqual(refused);
    expect(await bypass(`set session_replication_role = replica; insert into g values (1)`)).toEqual(refused);
    expect(await bypass(`begin; insert into g values (1); prepare transaction 'x'`)).toEqual(refused);
    expect(await bypass(`do $$ begin insert into g values (1); commit; end $$`)).toEqual(refused);
    expect(await bypass(`begin; insert into g values (1); set constraints all immediate; commit`)).toEqual(
      refused,
    );
    expect((await bypass(`begin; select dbproxy.closing('guess')`))?.code).toBe('42501');
    for (const own of ['write_set()', 'certify(5)'])
      expect((await bypass(`begin; insert into g values (1); select dbproxy.${own}`))?.code).toBe('42501');
    await a.client.query('reset session_replication_role');
    expect(await a.rows('select * from public.g')).toEqual([]);
  });

  it('definitions of which event triggers do not tell', async () => {
    const refused = { code: '0A000', hint: expect.stringContaining('event_triggers') as string };
    for (const set of ['set event_triggers = off', 'set local event_triggers = off'])
      expect(await failure(a.write(set, 'create table untold (id int primary key)'))).toEqual(refused);
    expect(await a.rows(`select to_regclass('public.untold')`)).toEqual([[null]]);
    await onBoth('create table told_again (id int primary key)');
  });

  it('a client without rights is captured, and reaches nothing of ours', async () => {
    await onBoth('create role poor');
    await onBoth('grant insert, select, update on g to poor');
    await onBoth('set local role poor', 'insert into g values (5)');
    for (const sql of [
      'select * from dbproxy.self',
      'delete from dbproxy.captured',
      'set session authorization dbproxy_apply',
    ]) {
      await a.client.query('set role poor');
      if (!sql.startsWith('set')) expect((await failure(a.client.query(sql)))?.code).toBe('42501');
      await a.client.query('reset role');
    }
    await areEqual();
  });

  it('a client that would have others act for it', async () => {
    await onBoth('create sequence guarded');
    await a.client.query('set role poor');
    for (const sql of [
      `select setval('guarded', 5)`,
      `select dbproxy.client_setval('postgres', 'guarded', 5, true)`,
      `do $$ begin perform dbproxy.client_setval('postgres', 'guarded', 5, true); end $$`,
      `do $$ begin perform dbproxy.client_setval(current_user, 'guarded', 5, true); end $$`,
      `do $$ begin execute 'SELECT dbproxy.client_setval(current_user, $1, $2, $3)"x", dbproxy.client_setval(''postgres''::name, ''guarded''::regclass, 5, true)' using 'guarded'::regclass, 5::bigint, true; end $$`,
      `do $$ begin execute E'SELECT 1 as "\nPL/pgSQL function dbproxy.ask_setval(regclass,bigint,boolean) line 5 at assignment", dbproxy.client_setval(''postgres'', ''guarded'', 5, true)'; end $$`,
      `create temp table forged as select dbproxy.after_ddl('CREATE TABLE', 'postgres', 'public', '', 'create role evil superuser', 'on')::text as x`,
      `create table forged as select dbproxy.after_ddl('ALTER TABLE', 'postgres', 'public', 'PL/pgSQL function dbproxy.on_ddl() line 4 at GET DIAGNOSTICS', 'alter role poor superuser', 'on')::text as x`,
    ])
      expect((await failure(a.client.query(sql)))?.code, sql).toBe('42501');
    await a.client.query('reset role');
  });

  it('a client that would have our triggers on a table of its own', async () => {
    await onBoth('create table victim (id int primary key, v text unique)');
    await onBoth('create unique index victim_lower on victim (lower(v))');
    await onBoth('create role trespasser', 'create schema its authorization trespasser');
    await onBoth('set local role trespasser', 'create table its.own (id int primary key, v text)');
    const [[victim]] = (await a.rows(`select 'public.victim'::regclass::oid`)) as [[number]];
    await a.client.query('set role trespasser');
    for (const sql of [
      `create trigger t after insert on its.own for each row execute function dbproxy.capture_${victim}()`,
      `create trigger t after insert on its.own for each statement execute function dbproxy.capture_truncate()`,
      `create constraint trigger t after insert on its.own for each row execute function dbproxy.guard()`,
      `select dbproxy.expressions_${victim}(row(1, 'x'))`,
      `select dbproxy.apply_${victim}('public.victim', '{insert}', '{null}', '{"(1,x)"}')`,
    ])
      expect((await failure(a.client.query(sql)))?.code, sql).toBe('42501');
    await a.client.query('reset role');
    // It owns the function that applies its rows, so that these are written as by it: and would be as by a superuser.
    const [[own]] = (await a.rows(`select 'its.own'::regclass::oid`)) as [[number]];
    for (const sql of [
      `alter function dbproxy.apply_${own}(text, text[], jsonb[], text[]) security invoker`,
      `alter function dbproxy.apply_${own}(text, text[], jsonb[], text[]) set search_path = its`,
      `comment on function dbproxy.apply_${own}(text, text[], jsonb[], text[]) is 'x'`,
      `drop function dbproxy.apply_${own}(text, text[], jsonb[], text[])`,
    ])
      expect((await failure(a.write('set local role trespasser', sql)))?.code, sql).toBe('42501');
    // Its own triggers fire, though it may not execute them.
    expect(
      (await onBoth('set local role trespasser', `insert into its.own values (1)`))!.writeSet.changes,
    ).toEqual([{ kind: 'insert', table: 'its.own', row: '(1,)' }]);
    await areEqual();
  });

  it('code of a client that runs while the proxy closes its transaction', async () => {
    await onBoth('create table meanwhile (id int primary key)', 'create table earlier (id int primary key)');
    await onBoth(
      `create function takes() returns trigger language plpgsql as $$ begin perform dbproxy.write_set(); return null; end $$`,
    );
    await onBoth(
      `create function closes() returns trigger language plpgsql as $$
         begin
           perform dbproxy.closing(split_part(current_query(), '''', 2));
           return null;
         end $$`,
    );
    await onBoth(
      `create function certifies() returns trigger language plpgsql as $$ begin perform dbproxy.certify(5); return null; end $$`,
    );
    for (const does of ['takes', 'closes', 'certifies']) {
      await onBoth(
        `create constraint trigger meanwhile after insert on meanwhile deferrable initially deferred for each row execute function ${does}()`,
      );
      // The guard of the first one is passed before.
      const written = a.write('insert into earlier values (1)', 'insert into meanwhile values (1)');
      expect((await failure(written))?.code, does).toBe('42501');
      await onBoth('drop trigger meanwhile on meanwhile');
    }
    expect(await a.rows('select id from public.meanwhile union select id from public.earlier')).toEqual([]);
    await areEqual();
  });

  it('code of a client that tells what we tell, while the proxy closes its transaction', async () => {
    await onBoth('create table claims (id int primary key)');
    await onBoth(
      `create function tells() returns trigger language plpgsql as $$ begin
         raise info using errcode = 'DBP0R', message = '(7)', detail = '{1}', table = '{"table":"public.claims","unique":[],"references":[]}', datatype = 'i';
         return null;
       end $$`,
      `create schema "PL/pgSQL function dbproxy"`,
      `create function "PL/pgSQL function dbproxy"."capture_1"() returns trigger language plpgsql as $$ begin
         raise info using errcode = 'DBP0R', message = '(8)', detail = '{1}', table = '{"table":"public.claims","unique":[],"references":[]}', datatype = 'i';
         return null;
       end $$`,
    );
    for (const forger of ['tells', '"PL/pgSQL function dbproxy"."capture_1"']) {
      await onBoth(
        `create constraint trigger tells after insert on claims deferrable initially deferred for each row execute function ${forger}()`,
      );
      await expect(a.write('insert into claims values (1)'), forger).rejects.toThrow('forged');
      await onBoth('drop trigger tells on claims');
    }
    await onBoth('insert into claims values (2)');
    await areEqual();
  });

  it('a deferred trigger writes as others do, and changes no definitions', async () => {
    await onBoth(
      'create table starts (id int primary key, does text)',
      'create table follows (id int primary key)',
    );
    await onBoth(
      `create function follows() returns trigger language plpgsql as $$ begin execute new.does; return null; end $$`,
      'create constraint trigger follows after insert on starts deferrable initially deferred for each row execute function follows()',
    );
    const written = await onBoth(
      `insert into starts values (1, 'insert into follows values (1)'), (2, 'select setval(''n_id_seq'', 3000)')`,
      `insert into follows values (2)`,
    );
    expect(written!.writeSet.changes.map(({ kind }) => kind).sort()).toEqual([
      ...['insert', 'insert', 'insert', 'insert', 'setval'],
    ]);
    for (const does of ['create table sudden (id int)', 'truncate follows', 'drop table follows'])
      expect([does, (await failure(a.write(`insert into starts values (3, '${does}')`)))?.code]).toEqual([
        does,
        '0A000',
      ]);
    await areEqual();
  });

  it('code of a client that runs at the very COMMIT, with the proof of the closing before it', async () => {
    await onBoth('create table at_last (id int primary key)');
    await onBoth(
      `create function keeps() returns trigger language plpgsql as $$
         begin
           perform set_config('its.proof', split_part(current_query(), '''', 2), false);
           return null;
         end $$`,
    );
    await onBoth(
      `create function writes() returns void language plpgsql as $$ begin set constraints all deferred; insert into public.at_last values (1); end $$`,
    );
    await a.write(
      'create temp table bait (id int)',
      'create constraint trigger bait after insert on bait deferrable initially deferred for each row execute function keeps()',
    );
    expect(
      (
        await failure(
          a.write(
            'insert into bait values (1)',
            `declare c cursor with hold for select writes(), dbproxy.closing(current_setting('its.proof'))`,
          ),
        )
      )?.code,
    ).toBe('42501');
    await a.client.query('drop table bait');
    expect(await a.rows('select * from public.at_last')).toEqual([]);
    await areEqual();
  });

  it('of what is in our schema everybody may execute this, and nothing else', async () => {
    const allowed = await a.rows(
      `select format('%s(%s)', proname, oidvectortypes(proargtypes)) from pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner)))
        where pronamespace = 'dbproxy'::regnamespace and grantee = 0 order by 1`,
    );
    expect(allowed.flat()).toEqual([
      'after_ddl(text, name, text, text, text, text)',
      'after_reassign(text, name, text, text)',
      'ask_setval(regclass, bigint, boolean)',
      'certify(bigint)',
      'check_isolation()',
      'client_setval(name, regclass, bigint, boolean)',
      'closed()',
      'closing(text)',
      'fired()',
      'hold(text)',
      'position()',
      'priority()',
      'read_held(text)',
      'reassigned(text, text)',
      'rows_of(text)',
      'settle()',
      'txn_id()',
      'txn_status(text)',
      'write_set()',
    ]);
  });

  it('SERIALIZABLE, tables without a key, unlogged ones', async () => {
    await a.client.query('begin isolation level serializable');
    expect((await failure(a.client.query(ISOLATION_QUERY)))?.code).toBe('0A000');
    await a.client.query('rollback; begin isolation level serializable');
    expect((await failure(a.close()))?.code).toBe('0A000');
    await a.client.query('rollback');
    await onBoth('create table keyless (v int)');
    await onBoth('insert into keyless values (1)');
    expect(await failure(a.write('update keyless set v = 2'))).toEqual({
      code: '55000',
      hint: expect.stringContaining('PRIMARY KEY') as string,
    });
    await onBoth('create unlogged table loose (id int primary key)');
    expect((await failure(a.write('insert into loose values (1)')))?.code).toBe('55000');
    await areEqual();
  });
});

describe('transactions', () => {
  it('of two sessions at once have a write-set each; one that only read has none', async () => {
    await onBoth('create table apart (id int primary key)');
    const other = await connectAdmin(a.engine);
    const [one, two] = [await a.begin(), await a.begin(other)];
    for (const id of [1, 2]) {
      await a.client.query(`insert into apart values (${id})`);
      await other.query(`insert into public.apart values (${id + 10})`);
    }
    const [first, second] = [await a.close(one), await a.close(two)];
    const written = [await a.certify(), await a.certify(other)];
    for (const [i, writeSet] of [first, second].entries()) {
      expect(writeSet!.changes).toHaveLength(2);
      log.push({ at: written[i]!, payload: writeSet!.payload });
      await b.apply(written[i]!, writeSet!.payload);
    }
    await other.end();
    await areEqual();
    expect(await a.write('select * from apart')).toBe(null);
    expect(await a.write('set transaction read only', 'select * from apart')).toBe(null);
    expect((await failure(a.write('insert into apart values (5)', 'set transaction read only')))?.code).toBe(
      '25006',
    );
    expect(await a.write('reindex table apart')).toBe(null);
  });

  it('too large for the store are refused before they leave the engine', async () => {
    await onBoth('create table large (id int primary key, v text)');
    const rows = `insert into large select g, repeat('x', 1000000) from generate_series(1, 17) g`;
    await expect(a.write(rows)).rejects.toThrow('too large');
    const kept = await failure(a.write(rows, 'set constraints all immediate'));
    expect(kept?.code).toBe('54000');
  });
});

describe('apply', () => {
  it('is done once, and notices a row that is not where it should be', async () => {
    await onBoth('create table once (id int primary key, v int)');
    const written = await onBoth('insert into once values (1, 1)');
    expect(await b.apply(written!.at, written!.writeSet.payload)).toBe(false);
    const lost = await writeOnA('insert into once values (2, 2)');
    const next = await writeOnA('update once set v = 3 where id = 2');
    await expect(b.apply(next!.at, next!.writeSet.payload)).rejects.toBeInstanceOf(ApplyDiverged);
    await b.apply(lost!.at, lost!.writeSet.payload);
    await b.apply(next!.at, next!.writeSet.payload);
    await areEqual();
  });

  const saying = (sql: string) =>
    JSON.stringify([{ kind: 'ddl', tag: 'DO', sql, role: 'postgres', searchPath: 'public' }]);
  const raising = (code: string) => saying(`do $$ begin raise 'x' using errcode = '${code}'; end $$`);
  const never = lsn((30 * 16 + 3) * 1_024);

  it.each(['execute nothing', 'create table nowhere.t ()', `select 1 / 0`])(
    'has diverged where it cannot be carried out: %s',
    async (sql) => {
      await expect(b.apply(never, saying(sql))).rejects.toBeInstanceOf(ApplyDiverged);
    },
  );

  it.each(['P0001', '0A000', '55000', '55006', '3F000', '42P01', '23505', '54001', 'F0000', 'XX001'])(
    'has diverged with SQLSTATE %s, which is the same the next time',
    async (code) => {
      await expect(b.apply(never, raising(code))).rejects.toBeInstanceOf(ApplyDiverged);
    },
  );

  it.each(['08006', '25006', '40P01', '53100', '55P03', '57014', '58030'])(
    'is worth another try with SQLSTATE %s',
    async (code) => {
      const error = await b.apply(never, raising(code)).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code });
      expect(error).not.toBeInstanceOf(ApplyDiverged);
    },
  );

  it('is worth some more where the engine calls it an internal error, and not without end', async () => {
    // As what we define ourselves.
    await b.watcher
      .query(`begin; insert into dbproxy.captured (xid, operation, is_first) values (pg_current_xact_id(), 'w', false);
      create sequence dbproxy.tries; delete from dbproxy.captured where operation = 'w'; commit`);
    const until = (n: number) =>
      saying(
        `do $$ begin if nextval('dbproxy.tries') < ${n} then raise 'tuple concurrently updated' using errcode = 'XX000'; end if; end $$`,
      );
    await expect(b.apply(never, until(1_000_000))).rejects.toBeInstanceOf(ApplyDiverged);
    const { rows } = await b.applying.query<{ n: number }>(`select nextval('dbproxy.tries')::int as n`);
    expect(await b.apply(never, until(rows[0]!.n + 3))).toBe(true);
  });

  it('is neither captured nor seen by triggers of users', async () => {
    await onBoth('create table log (id int primary key)');
    await onBoth(
      'create function note() returns trigger language plpgsql as $$ begin insert into public.log values (new.id + 1000); return null; end $$',
    );
    await onBoth('create trigger note after insert on once for each row execute function note()');
    expect((await failure(a.write('alter table once enable always trigger note')))?.code).toBe('0A000');
    const written = await onBoth('insert into once values (50, 1)');
    expect(written!.writeSet.changes).toHaveLength(2);
    expect(await b.rows('select * from dbproxy.captured')).toEqual([]);
    await areEqual();
  });

  it('does not ask again what a check asked where the row was written: the time, settings, other tables', async () => {
    await onBoth(
      'create table asked (id int primary key)',
      `create function few() returns boolean language sql stable as 'select count(*) < 2 from public.asked'`,
      `create table asks (id int primary key, until timestamptz check (until > clock_timestamp()), t text check (t = coalesce(current_setting('app.t', true), '')),
         day date check (until::date = day), check (few()), check (id > 0))`,
      `insert into asks values (1, 'infinity', null, null)`,
    );
    const written = await writeOnA(
      `set local app.t = 'x'; set local timezone = 'Pacific/Kiritimati'`,
      `insert into asks values (2, clock_timestamp() + '20 ms', 'x', null)`,
      `insert into asks values (3, '2126-01-01 00:30', 'x', '2126-01-01')`,
      'update asks set id = 4 where id = 1',
    );
    await onBoth('insert into asked values (1), (2)');
    await a.watcher.query(`select pg_sleep_until(max(until)) from public.asks where id = 2`);
    const { lsn: at, payload } = entryOf(written);
    expect(await b.apply(at, payload)).toBe(true);
    expect(await b.apply(at, payload)).toBe(false);
    await areEqual();
    // They are there as before.
    const checks = `select relchecks, (select count(*) from pg_constraint where conrelid = c.oid and contype = 'c') from pg_class c where oid = 'public.asks'::regclass`;
    expect(await b.rows(checks)).toEqual([[5, '5']]);
    await expect(b.client.query(`insert into asks values (-1)`)).rejects.toMatchObject({ code: '23514' });
    // What does not fit otherwise does not fit.
    const again = await a.write('delete from asked', `insert into asks values (5)`);
    await b.apply(again!.at, again!.writeSet.payload);
    log.push({ at: again!.at, payload: again!.writeSet.payload });
    const taken = JSON.stringify([{ kind: 'insert', table: 'public.asks', row: '(5,-infinity,,)' }]);
    await expect(b.apply(lsn(17 * 1_024 * 16), taken)).rejects.toBeInstanceOf(ApplyDiverged);
    await areEqual();
  });

  it('finds a row by its index, also of a type that an extension has', async () => {
    await onBoth(
      'create extension if not exists citext',
      'create domain address as citext',
      'create table by_citext (e address primary key, n int)',
      `insert into by_citext select 'User' || i, 0 from generate_series(1, 2000) i`,
    );
    const scans = async (): Promise<unknown> => {
      await b.applying.query('select pg_stat_force_next_flush()');
      const [row] = await b.rows(
        `select seq_scan from pg_stat_user_tables where relid = 'public.by_citext'::regclass`,
      );
      return row;
    };
    const before = await scans();
    await onBoth(
      `update by_citext set n = 1 where e in ('user7', 'USER8')`,
      `delete from by_citext where e = 'user9'`,
    );
    expect(await scans()).toEqual(before);
    await areEqual();
  });

  it('tells who blocks it', async () => {
    await b.begin();
    await b.client.query('update once set v = 100 where id = 1');
    const { rows } = await b.client.query<{ pid: number }>('select pg_backend_pid() as pid');
    const written = await writeOnA('update once set v = 7 where id = 1');
    const told: number[] = [];
    const applied = b.applier.apply([entryOf(written)], (_lsn, [blocker]) => {
      told.push(blocker!.pid);
      if (told.length === 1) void b.client.query('rollback');
    });
    expect(await applied).toEqual([true]);
    expect(told[0]).toBe(rows[0]!.pid);
    await areEqual();
  });

  it('what is compacted stays applied', async () => {
    const written = await onBoth('insert into once values (60, 1)');
    expect((await claimed(b.watcher))[0]).toBe(written!.at);
    await compact(inTurn(b.watcher), { 0: written!.at });
    expect(await reached(b.watcher)).toEqual({ 0: written!.at });
    expect(await b.rows('select * from dbproxy.applied where writer = 0')).toEqual([]);
    expect(await b.apply(lsn(written!.at - 1), '[]')).toBe(false);
  });
});

it('an engine whose capture was not deferred, of an older version, has it so from the next start', async () => {
  await onBoth('create table older (id int primary key)');
  const [[table]] = (await a.rows(`select 'public.older'::regclass::oid`)) as [[number]];
  for (const sql of [
    'alter event trigger dbproxy_drop disable; alter event trigger dbproxy_ddl disable',
    'drop trigger dbproxy_capture on public.older',
    `create trigger dbproxy_capture after insert or update or delete on public.older for each row execute function dbproxy.capture_${table}()`,
    'alter table public.older enable always trigger dbproxy_capture',
  ])
    await a.watcher.query(sql);
  await install(a.watcher, { writer: 0, writers: [0, 1], incarnation: 1, secret: SECRET });
  expect(
    await a.rows(
      `select tgdeferrable, tginitdeferred, tgenabled from pg_trigger where tgrelid = ${table} and tgname = 'dbproxy_capture'`,
    ),
  ).toEqual([[true, true, 'A']]);
  expect((await onBoth('insert into older values (1)'))!.writeSet.changes).toHaveLength(1);
});

it('numbers that a crash took back from a sequence are not given out again, once their rows are back', async () => {
  const one = await TestWriter.open(await engines.primary(), 0);
  await one.write(
    'create table counted (id serial primary key, o int generated always as identity, n numeric, d int, other int)',
    'create sequence plain',
    `alter table counted alter n set default nextval('plain')`,
    'create sequence down increment -1',
    `alter table counted alter d set default nextval('down')`,
    'create sequence of_others',
    `alter table counted alter other set default nextval('of_others')`,
  );
  await one.write(
    'create table spread (id int generated by default as identity, p int) partition by list (p)',
    'create table spread_1 partition of spread for values in (1)',
  );
  const sequences = ['counted_id_seq', 'counted_o_seq', 'plain', 'down', 'of_others', 'spread_id_seq'];
  const state = async () =>
    (
      await Promise.all(sequences.map((name) => one.rows(`select last_value, is_called from public.${name}`)))
    ).flat() as [string, boolean][];
  await one.write('insert into counted default values', 'insert into spread (p) values (1)');
  const before = await state();
  const begun = await one.begin();
  await one.client.query('insert into counted (other) select 2 from generate_series(1, 500)');
  await one.client.query('insert into spread (p) values (1)');
  const lost = await one.close(begun);
  const after = await state();
  await one.client.query('rollback');
  for (const [i, [value, isCalled]] of before.entries())
    await one.rows(`select dbproxy.setval('public.${sequences[i]}', ${value}, ${isCalled})`);
  expect(await one.apply(lsn(20 * 16 * 1_024), lost!.payload)).toBe(true);
  // One that is another writer's has moved nothing.
  expect(await state()).toEqual(after);
  expect(after[4]).toEqual(before[4]);
  await one.write('insert into counted default values', 'insert into spread (p) values (1)');
  expect(await one.rows('select max(id) % 16, max(o) % 16, max(n) % 16 from public.counted')).toEqual([
    [1, 1, '1'],
  ]);
  // A replay in an engine that has lost nothing moves nothing either.
  const now = await state();
  const again = `[{"kind":"update","table":"public.counted","key":["1"],"row":"(1,1,1,-1,2)"}]`;
  expect(await one.apply(lsn(22 * 16 * 1_024), again)).toBe(true);
  expect(await state()).toEqual(now);
  const far = `[{"kind":"insert","table":"public.counted","row":"(160001,160001,160001,-160001,160001)"}]`;
  expect(await one.apply(lsn(23 * 16 * 1_024), far)).toBe(true);
  expect((await state())[0]).toEqual(['160001', true]);
  await one.end();
}, 30_000);

it('an empty engine and the log make the same', async () => {
  const fresh = await TestWriter.open(await engines.primary(), 2);
  for (const { at, payload } of log) await fresh.apply(at, payload);
  expect(await checksums(fresh.watcher)).toEqual(await checksums(a.watcher));
  await fresh.end();
}, 180_000);

it('whatever is written on one writer is on the other', async () => {
  await onBoth('create table p1 (id int primary key, v text, n numeric unique)');
  await onBoth(
    'create table p2 (id int primary key, p int references p1 on delete cascade on update cascade, w float8)',
  );
  const id = fc.integer({ min: 0, max: 6 });
  const text = fc
    .string({ unit: 'grapheme', maxLength: 6 })
    .map((value) => `'${value.replaceAll("'", "''").replaceAll('\0', '')}'`);
  const statement = fc.oneof(
    fc
      .tuple(id, text, id)
      .map(([i, v, n]) => `insert into p1 values (${i}, ${v}, ${n}) on conflict do nothing`),
    fc
      .tuple(id, id)
      .map(
        ([i, p]) =>
          `insert into p2 select ${i}, id, random() from p1 where id >= ${p} limit 1 on conflict (id) do update set p = excluded.p`,
      ),
    fc
      .tuple(id, id)
      .map(
        ([i, to]) =>
          `update p1 set id = ${to} where id = ${i} and not exists (select from p1 where id = ${to})`,
      ),
    fc.tuple(id, text).map(([i, v]) => `update p1 set v = ${v} where id <= ${i}`),
    id.map((i) => `delete from p1 where id = ${i}`),
    id.map((i) => `delete from p2 where p < ${i}`),
    fc.constantFrom('savepoint x', 'savepoint x; delete from p1; rollback to x', 'truncate p2'),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(statement, { minLength: 1, maxLength: 12 }), async (statements) => {
      await onBoth(...statements);
      await areEqual();
    }),
    { numRuns: 40 },
  );
});
