/** What a client has defined for his types and tables is not run as a superuser, neither by capture nor where his rows are applied. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { checksums } from '../../../src/multiwriter/engine/index.js';
import { twoWriters, writeOnBoth } from './writers.js';

/** Says who runs it, in the session. */
const noting = (returns: string) =>
  `language plpgsql as $$ begin
     perform set_config('evil.ran_as', coalesce(current_setting('evil.ran_as', true), '') || current_user || ' ', false);
     return ${returns};
   end $$`;

let writers: Awaited<ReturnType<typeof twoWriters>>;
beforeAll(async () => {
  writers = await twoWriters();
  const { a, b } = writers;
  await writeOnBoth(a, b, 'create role mallory', 'grant all on schema public to mallory');
  await writeOnBoth(a, b, 'grant all on database postgres to mallory');
}, 120_000);
afterAll(() => writers?.close());

/** Everybody that has run it, in the sessions of a client here and of the applier there. */
async function ranAs(): Promise<string[]> {
  const sessions = [writers.a.client, writers.a.watcher, writers.b.applying, writers.b.watcher];
  const said: string[] = [];
  for (const session of sessions) {
    const { rows } = await session.query<{ who: string | null }>(
      `select current_setting('evil.ran_as', true) as who`,
    );
    said.push(...(rows[0]?.who ?? '').split(' '));
    await session.query(`select set_config('evil.ran_as', '', false)`);
  }
  return [...new Set(said.filter((who) => who !== ''))];
}

const asMallory = async (...statements: string[]): Promise<void> => {
  const { a, b } = writers;
  await a.client.query('set role mallory');
  try {
    for (const statement of statements) await writeOnBoth(a, b, statement);
  } finally {
    await a.client.query('reset role');
  }
};

it('casts of a row type, an enum, and an array of it', async () => {
  const { a, b } = writers;
  await asMallory(
    `create type mood as enum ('sad', 'ok')`,
    `create table felt (mood mood, moods mood[], n int, primary key (mood, moods))`,
    `create table feeling (felt felt primary key)`,
  );
  const casts = [
    ['felt', 'text', `'(sad,{},1)'`],
    ['text', 'felt', 'null'],
    ['mood', 'text', `'sad'`],
    ['text', 'mood', `'sad'`],
    ['mood', 'json', `'1'`],
    ['mood[]', 'text', `'{}'`],
    ['mood[]', 'json', `'1'`],
    ['text', 'mood[]', `'{}'`],
    ['feeling', 'text', `'()'`],
  ];
  for (const [i, [from, to, value]] of casts.entries())
    await asMallory(
      `create function to_${i}(${from}) returns ${to} ${noting(value!)}`,
      `create cast (${from} as ${to}) with function to_${i}(${from}) as assignment`,
    );
  await ranAs();
  await asMallory(
    `insert into felt values ('ok', '{sad,ok}', 1), ('sad', '{ok}', 2), ('sad', '{}', 3)`,
    `update felt set n = 7 where mood = 'ok'`,
    `update felt set moods = '{ok,ok}' where n = 2`,
    `delete from felt where n = 3`,
    `insert into feeling select felt from felt`,
    `delete from feeling where (felt).n = 7`,
  );
  expect(await a.rows(`select n from public.felt order by n`)).toEqual([[2], [7]]);
  expect(await checksums(a.watcher)).toEqual(await checksums(b.watcher));
  await asMallory(`alter table feeling add column drawn float default random()`);
  expect(await checksums(a.watcher)).toEqual(await checksums(b.watcher));
  expect(await ranAs()).toEqual([]);
});

it('a value of the column as one of the type that a foreign key refers to', async () => {
  const { a, b } = writers;
  await asMallory(
    `create type child_key as enum ('p', 'q')`,
    `create function to_parent(child_key) returns int ${noting('5')}`,
    `create cast (child_key as int) with function to_parent(child_key) as implicit`,
    `create table parents (k int primary key, n int)`,
    `create table others (k int primary key)`,
    `create table children (id int primary key, parent child_key references parents, other int references others, name text)`,
    `create unique index on children (lower(name))`,
    `insert into others values (1)`,
    `insert into parents values (5, 1)`,
  );
  await ranAs();
  const child = await (async () => {
    await a.client.query('set role mallory');
    const written = await writeOnBoth(a, b, `insert into children values (1, 'p', 1, 'A')`);
    await a.client.query('reset role');
    return written!;
  })();
  const parent = await writeOnBoth(a, b, `update parents set n = 2`);
  const keyOf = (key: { key: string }) => key.key;
  const parentKeys = parent!.writeSet.keys.map(keyOf).filter((key) => key.startsWith('public.parents_pkey:'));
  expect(parentKeys).toHaveLength(1);
  const childKeys = child.writeSet.keys.map(keyOf);
  expect(childKeys).toContain(parentKeys[0]);
  expect(
    childKeys.filter((key) => /^public\.(others_pkey|children_lower_idx|children_pkey):/.test(key)),
  ).toHaveLength(3);
  expect(new Set(await ranAs())).toEqual(new Set(['mallory']));
});

it('checks, domains, generated columns and indexes of a table whose policies are forced on its owner: it is not written', async () => {
  const { b } = writers;
  await asMallory(
    `create function fine(int) returns boolean immutable ${noting('true')}`,
    `create domain checked as int check (fine(value))`,
    `create table forced (k int primary key, n int)`,
    `insert into forced values (1, 1)`,
    `alter table forced enable row level security`,
    `alter table forced force row level security`,
    `create policy everything on forced using (true)`,
    `insert into forced values (2, 2)`,
  );
  expect(await b.rows('select n from public.forced order by 1')).toEqual([[1], [2]]);
  const definitions = [
    [`alter table forced add check (fine(n))`, `alter table forced drop constraint forced_n_check`],
    [`alter table forced add g boolean generated always as (fine(n)) stored`, `alter table forced drop g`],
    [`create index fine_index on forced (fine(n))`, `drop index fine_index`],
    [`create index fine_index on forced (k) where fine(n)`, `drop index fine_index`],
    [`alter table forced add d checked`, `alter table forced drop d`],
    [`alter table forced add d checked[]`, `alter table forced drop d`],
  ];
  for (const [make, drop] of definitions) {
    await asMallory(make!);
    await ranAs();
    await expect(asMallory(`insert into forced (k, n) values (3, 3)`)).rejects.toMatchObject({
      code: '55000',
      hint: expect.stringContaining('NO FORCE ROW LEVEL SECURITY') as string,
    });
    await asMallory(drop!, `insert into forced (k, n) values (3, 3)`, `delete from forced where k = 3`);
    expect(await ranAs()).not.toContain('postgres');
  }
  // An owner who is not subject to them applies himself.
  await asMallory(
    `alter table forced no force row level security`,
    `alter table forced add d checked`,
    `insert into forced values (4, 4, 4)`,
  );
  expect(await b.rows('select d from public.forced where k = 4')).toEqual([[4]]);
  expect(new Set(await ranAs())).toEqual(new Set(['mallory']));
});

it('as what it was refused for changes, so does what is refused', async () => {
  const { a, b } = writers;
  await writeOnBoth(a, b, 'create unlogged table changes (k int)');
  const insert = () => writeOnBoth(a, b, 'insert into changes values (1)');
  await expect(insert()).rejects.toMatchObject({ message: expect.stringContaining('unlogged') as string });
  await writeOnBoth(a, b, 'alter table changes set logged');
  await insert();
  await expect(writeOnBoth(a, b, 'delete from changes')).rejects.toMatchObject({
    message: expect.stringContaining('no key') as string,
  });
  await writeOnBoth(a, b, 'alter table changes set unlogged');
  await expect(insert()).rejects.toMatchObject({ message: expect.stringContaining('unlogged') as string });
});
