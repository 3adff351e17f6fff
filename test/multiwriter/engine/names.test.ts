/** Names, and settings of a client, that what is generated for a table must not mistake for its own. */
import { expect, it } from 'vitest';
import { connectAdmin } from '../../../src/engine/index.js';
import { checksums } from '../../../src/multiwriter/engine/index.js';
import { type TestWriter, useTwoWriters, writeOnBoth } from './writers.js';

const { a, b } = await useTwoWriters();

/** A transaction of writer 0, which writer 1 then has, too. */
async function onBoth(...statements: string[]) {
  const written = await writeOnBoth(a, b, ...statements);
  expect(written).not.toBeNull();
  return written!;
}
const sumOf = async (writer: TestWriter, table: string) =>
  (await checksums(writer.watcher)).find((one) => one.table === table);
/** By rows, too, and not by the checksums alone: those are among what is tested. */
async function areEqual(table: string, rows: unknown[]) {
  const all = `select * from ${table} order by 1`;
  expect(await a.rows(all)).toEqual(rows);
  expect(await b.rows(all)).toEqual(rows);
  expect(await sumOf(b, table)).toEqual(await sumOf(a, table));
}

it('tables that come with their schema are captured', async () => {
  await onBoth(
    'create schema s3 create table st (i int primary key, n serial) create view sv as select 1 as one create index on st (n)',
  );
  await onBoth('insert into s3.st values (1)');
  await onBoth('update s3.st set i = i + 10');
  await areEqual('s3.st', [[11, 1]]);
});

const NAMES =
  'key kind called new_row r n x t s found result old new value at path statement "loop" "by" tg_op';

it('columns are named as what is generated names its own', async () => {
  const names = NAMES.split(' ');
  for (const key of names) {
    const table = `public.named_${key.replaceAll('"', '')}`;
    const columns = names.map((name) => `${name} int${name === key ? ' primary key' : ''}`).join(', ');
    await onBoth(`create table ${table} (${columns})`);
    await onBoth(`insert into ${table} values (${names.map((_, i) => i).join(', ')})`);
    await onBoth(`update ${table} set ${names.map((name) => `${name} = ${name} + 1`).join(', ')}`);
    await areEqual(table, [names.map((_, i) => i + 1)]);
    await onBoth(`delete from ${table}`);
    await areEqual(table, []);
  }
  // Set in another way.
  await onBoth(
    'create table public.named_always (key int primary key, r int generated always as identity, kind text)',
  );
  await onBoth(`insert into public.named_always values (1, default, 'a')`);
  await onBoth(`update public.named_always set r = default, kind = 'b'`);
  expect(await b.rows('select * from public.named_always')).toEqual(
    await a.rows('select * from public.named_always'),
  );
}, 60_000);

it('rows that a definition computed go along whole, whatever a column is called', async () => {
  await onBoth(`create table public.q1 as select 1 as x, 'a'::text as t`);
  await areEqual('public.q1', [[1, 'a']]);
  await onBoth(
    `create table public.q2 (t text primary key)`,
    `insert into public.q2 values ('a')`,
    `alter table public.q2 add column rnd int default (random() * 1e9)::int`,
  );
  await areEqual('public.q2', await a.rows('select * from public.q2'));
});

it('the checksum is that of the whole row, whatever a column is called', async () => {
  await onBoth(`create table public.q3 (t text primary key, v int)`, `insert into public.q3 values ('a', 1)`);
  const before = await sumOf(a, 'public.q3');
  await onBoth(`update public.q3 set v = 2`);
  expect(await sumOf(a, 'public.q3')).not.toEqual(before);
});

it('unique expressions are over columns of any name', async () => {
  for (const name of NAMES.split(' ')) {
    const table = `public.expression_${name.replaceAll('"', '')}`;
    await onBoth(
      `create table ${table} (id int primary key, ${name} text)`,
      `create unique index on ${table} (lower(${name})) where ${name} <> 'none'`,
    );
    const inserted = await onBoth(`insert into ${table} values (1, 'A')`);
    await onBoth(`update ${table} set ${name} = 'a'`);
    const deleted = await onBoth(`delete from ${table}`);
    // Of equal expressions the key is the same.
    const keys = [inserted, deleted].map(({ writeSet }) =>
      writeSet.keys.filter((one) => /_idx/.test(one.key)).map((one) => one.key),
    );
    expect(keys[0]).toHaveLength(1);
    expect(keys[1]).toEqual(keys[0]);
    await onBoth(`insert into ${table} values (1, 'a')`);
    await areEqual(table, [[1, 'a']]);
  }
}, 60_000);

it('names hold what stands for something in what is generated', async () => {
  await onBoth(
    `create table public.signs ("@" int primary key, "@new" int unique, "@@old" int, "%EXPRESSIONS%" int unique, "%s" int, ", %EXPRESSIONS%" int, "a""@""b" text)`,
    `create unique index on public.signs ("%s", "@@old", ", %EXPRESSIONS%", "a""@""b")`,
    `create unique index on public.signs (abs("@@old"))`,
    `create table public."@refers" ("@id" int primary key, "@@to" int references public.signs ("@new"))`,
  );
  await onBoth(
    `insert into public.signs values (1, 2, 3, 4, 5, 6, '@')`,
    `insert into public."@refers" values (1, 2)`,
  );
  await onBoth(`update public.signs set "@@old" = -3, "@" = 7`);
  await onBoth(`delete from public."@refers"`);
  await areEqual('public.signs', [[7, 2, -3, 4, 5, 6, '@']]);
});

it('a session may have standard_conforming_strings off', async () => {
  const client = await connectAdmin(a.engine, { timeoutMs: 20_000 });
  const notices: string[] = [];
  /** As onBoth(), in a session where everything is read for the first time. */
  const onBothOff = async (...statements: string[]) => {
    const begun = await a.begin(client);
    for (const statement of statements) await client.query(statement);
    const { payload } = (await a.close(begun))!;
    expect(await b.apply(await a.certify(client), payload)).toBe(true);
  };
  try {
    await onBoth(
      'create table public.conforming (i int primary key, v text)',
      String.raw`create unique index on public.conforming (replace(v, '\', '/'))`,
    );
    await client.query('set standard_conforming_strings = off');
    client.on('notice', (notice) => notices.push(`${notice.severity}`));
    await onBothOff(
      `insert into public.conforming values (1, E'a\\\\b')`,
      'set constraints all immediate',
      `insert into public.conforming values (2, 'c')`,
    );
    await areEqual('public.conforming', [
      [1, 'a\\b'],
      [2, 'c'],
    ]);
    await onBothOff(
      'create table public.off (i int primary key, v text)',
      `create unique index on public.off (lower(v))`,
      `insert into public.off values (1, 'A')`,
      'alter table public.off add column w int default 1',
      'create table public.off2 (i int)',
    );
    await onBothOff('drop table public.off2', 'truncate public.conforming');
    await areEqual('public.off', [[1, 'A', 1]]);
    await areEqual('public.conforming', []);
    await client.query('begin');
    await expect(
      client.query(String.raw`create table public.other (v text default E'\\')`),
    ).rejects.toMatchObject({ code: '0A000' });
    await client.query('rollback');
    expect(notices.filter((severity) => severity === 'WARNING')).toEqual([]);
  } finally {
    await client.end();
  }
});

it('a definition may be made with quote_all_identifiers', async () => {
  await onBoth(
    'create table public.quoted_parent (i int primary key)',
    'set local quote_all_identifiers = on',
    'create table public.quoted (i int primary key, n int unique, s serial, p int references public.quoted_parent)',
    `create table public.quoted_as as select 1 as i, 'a' as t`,
    'truncate public.quoted restart identity',
    'set local quote_all_identifiers = off',
  );
  await onBoth('insert into public.quoted_parent values (3)');
  const { writeSet } = await onBoth('insert into public.quoted values (1, 2, default, 3)');
  expect(writeSet.keys.filter((one) => one.key.includes('"'))).toEqual([]);
  await onBoth('update public.quoted set n = n + 1');
  await areEqual('public.quoted', await a.rows('select * from public.quoted'));
  await areEqual('public.quoted_as', [[1, 'a']]);
});

it('TRUNCATE CASCADE goes on to partitioned tables that refer to the table', async () => {
  await onBoth(
    'create table public.to1 (i int primary key)',
    'create table public.parted (i int primary key references public.to1) partition by range (i)',
    'create table public.parted_1 partition of public.parted for values from (0) to (10)',
    'create table public.parted_2 partition of public.parted for values from (10) to (30) partition by range (i)',
    'create table public.parted_21 partition of public.parted_2 for values from (10) to (20)',
    'create table public.parted_empty (i int references public.to1) partition by range (i)',
    'create table public.of_parted (i int references public.parted) partition by range (i)',
    'create table public.of_parted_1 partition of public.of_parted for values from (0) to (10)',
  );
  const fill = [
    'insert into public.to1 values (1), (11), (2)',
    'insert into public.parted values (1), (11)',
    'insert into public.of_parted values (1)',
  ];
  await onBoth(...fill);
  await onBoth('truncate public.to1 cascade');
  for (const table of ['to1', 'parted', 'of_parted'])
    expect(await b.rows(`select * from public.${table}`)).toEqual([]);
  await onBoth(...fill);
  // One partition, and what refers to it: the others keep their rows.
  await onBoth('truncate public.parted_1 cascade');
  expect(await b.rows('select * from public.parted')).toEqual([[11]]);
  expect(await b.rows('select * from public.of_parted')).toEqual([]);
  await areEqual('public.to1', [[1], [2], [11]]);
});
