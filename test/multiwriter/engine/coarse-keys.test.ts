/** Keys whose hash says less than their equality: that it stays does not say that the key does. */
import { beforeAll, expect, it } from 'vitest';
import { useTwoWriters } from './writers.js';

const { a, onBoth, areEqual } = await useTwoWriters();

beforeAll(async () => {
  await onBoth(`create type mood as enum ('sad', 'ok')`);
  await onBoth('create type pair as (m mood, t text)');
  await onBoth(
    `create collation insensitive (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`,
  );
});

/** Of a transaction that is rolled back: its keys of that index, with the mode of each. */
async function keysOf(index: string, sql: string): Promise<string[]> {
  await a.begin();
  try {
    await a.client.query(sql);
    const writeSet = await a.close();
    return writeSet!.keys.filter(({ key }) => key.startsWith(index)).map(({ mode, key }) => `${mode} ${key}`);
  } finally {
    await a.client.query('rollback');
  }
}

it('a unique key that is changed is certified, and one that stays is not', async () => {
  await onBoth('create table moods (id int primary key, p pair unique, v int)');
  await onBoth('create table by_expression (id int primary key, p pair, v int)');
  await onBoth('create unique index expressed on by_expression ((p)) where v > 0');
  for (const [table, index] of [
    ['moods', 'public.moods_p_key'],
    ['by_expression', 'public.expressed'],
  ] as const) {
    await onBoth(`insert into ${table} values (1, row('ok', 'a'), 1)`);
    const taken = await keysOf(index, `insert into ${table} values (2, row('sad', 'b'), 1)`);
    expect(taken).toEqual([expect.stringMatching(/^exclusive /)]);
    expect(await keysOf(index, `update ${table} set p = row('sad', 'b')`)).toEqual(taken);
    expect(await keysOf(index, `update ${table} set p = p`)).toEqual([]);
  }
  expect(await keysOf('public.moods_p_key', 'update moods set v = 7')).toEqual([]);
  await areEqual();
});

it('a primary key that is changed keeps others from referring to it, and a reference that is changed keeps it from going', async () => {
  await onBoth('create table parent (p pair primary key, v int)');
  await onBoth('create table child (id int primary key, p pair references parent)');
  await onBoth(`insert into parent values (row('ok', 'a')), (row('ok', 'b'))`);
  await onBoth(`insert into child values (1, row('ok', 'a'))`);
  const one = 'public.parent_pkey:0';
  expect(await keysOf(one, `delete from parent where (p).t = 'b'`)).toEqual([`exclusive ${one}`]);
  expect(await keysOf(one, `update parent set p = row('sad', 'b') where (p).t = 'b'`)).toEqual([
    `exclusive ${one}`,
  ]);
  expect(await keysOf(one, 'update parent set v = 1')).toEqual([`update ${one}`]);
  expect(await keysOf(one, `update child set p = row('ok', 'b')`)).toEqual([`shared ${one}`]);
  expect(await keysOf(one, 'update child set id = 2')).toEqual([]);
});

it('names are keys of their own, and those that a collation holds equal have one', async () => {
  await onBoth('create table names (id int primary key, n name unique)');
  const [a1, b1] = [`insert into names values (1, 'a')`, `insert into names values (1, 'b')`];
  expect(await keysOf('public.names_n_key', a1)).not.toEqual(await keysOf('public.names_n_key', b1));
  await onBoth(a1);
  expect(await keysOf('public.names_n_key', `update names set n = 'b'`)).toHaveLength(2);
  for (const [type, value] of [
    ['name collate insensitive', (one: string) => `'${one}'`],
    ['name[] collate insensitive', (one: string) => `'{${one}}'`],
  ] as const) {
    await onBoth(`create table alike (id int primary key, n ${type} unique)`);
    const [upper, lower] = ['Abc', 'aBC'].map((one) => `insert into alike values (1, ${value(one)})`);
    const taken = await keysOf('public.alike_n_key', upper!);
    expect(taken).toHaveLength(1);
    expect(await keysOf('public.alike_n_key', lower!)).toEqual(taken);
    await onBoth('drop table alike');
  }
});

it('keys that rows pass on to each other in one transaction', async () => {
  await onBoth('create table passing (p pair primary key, q pair unique, v int)');
  await onBoth(
    `insert into passing values (row('ok', 'a'), row('ok', 'a'), 1), (row('ok', 'b'), row('ok', 'b'), 2)`,
  );
  const to = (key: string, v: number): string =>
    `update passing set p = row('ok', '${key}'), q = row('ok', '${key}') where v = ${v}`;
  await onBoth(to('c', 1), to('a', 2), to('b', 1));
  await areEqual();
  await onBoth(to('d', 1), to('b', 2), `insert into passing values (row('ok', 'a'), row('ok', 'a'), 3)`);
  await onBoth('update passing set v = v + 1', `delete from passing where v > 2`);
  await areEqual();
});
