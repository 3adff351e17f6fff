/** Sequences of writers: no two give out one number, and a session that is moved takes along what it knew of them. */
import { describe, expect, it } from 'vitest';
import type pg from 'pg';
import { connectAdmin } from '../../../src/engine/index.js';
import { install } from '../../../src/multiwriter/engine/index.js';
import { replay } from '../../../src/session-state/index.js';
import { Backend } from '../../session-state/support.js';
import { SECRET, type TestWriter, useTwoWriters } from './writers.js';

const { engines, a, b } = await useTwoWriters();

async function onBoth(...statements: string[]) {
  const { at, writeSet } = (await a.write(...statements))!;
  expect(await b.apply(at, writeSet.payload)).toBe(true);
}

describe('what a session knows of sequences, on another backend of a writer', () => {
  const where = (writer: TestWriter) =>
    writer.rows(`select last_value, is_called, (select relfilenode from pg_class where relname = 'own_id_seq'),
      (select count(*) from dbproxy.captured) from app.own_id_seq`);

  it.each([0, 1])('is there, to the number, for a role without rights; writer %i', async (id) => {
    const writer = [a, b][id]!;
    if (id === 0) {
      await onBoth('create role app login', 'create schema app authorization app');
      await onBoth(
        'set local role app',
        'create table app.own (id serial primary key)',
        'create sequence app.set',
      );
    }
    const session = await Backend.open(writer.engine, { user: 'app' });
    await session.run(`select nextval('app.own_id_seq'), nextval('app.own_id_seq')`);
    const wanted = await session.look();
    const before = await where(writer);
    const target = await Backend.open(writer.engine, { user: 'app' });
    const base = await target.look();
    await replay(target.connection, wanted, base, base, true);
    expect(await target.rows(`select currval('app.own_id_seq'), lastval()`)).toEqual(
      await session.rows(`select currval('app.own_id_seq'), lastval()`),
    );
    expect(await where(writer)).toEqual(before);
    // A value that no number of this writer is; and one whose session has only set it.
    const odd = { value: '1234', owner: null, temporary: false };
    const values = new Map([['app.set', odd]]);
    await replay(
      target.connection,
      { ...base, sequences: { values, last: null, obstacle: null } },
      base,
      base,
      true,
    );
    expect(await target.rows(`select currval('app.set')`)).toEqual([['1234']]);
    session.close();
    target.close();
  });

  it('a client who says what we say cannot commit what it does, nor set a sequence past its numbers', async () => {
    await onBoth(
      'create sequence mine',
      'create sequence other',
      'create table witness (id int primary key)',
    );
    const ours = '/* dbproxy: to be rolled back */';
    const sequence = (name: string) =>
      a.rows(
        `select s.last_value, is_called, increment_by from public.${name} s, pg_sequences where sequencename = '${name}'`,
      );
    const before = [await sequence('mine'), await sequence('other')];
    const change = `${ours} alter sequence mine increment 1 restart 7; select nextval('mine')`;
    await expect(a.write(change, 'insert into witness values (1)')).rejects.toMatchObject({ code: '25000' });
    await expect(a.write('insert into witness values (2)', change)).rejects.toMatchObject({ code: '25000' });
    await expect(a.client.query(change)).rejects.toMatchObject({ code: '25000' });
    await expect(a.client.query(`${ours} alter sequence mine increment 1 restart 7`)).rejects.toMatchObject({
      code: '25000',
    });
    await expect(a.client.query(`set constraints all immediate; ${change}`)).rejects.toMatchObject({
      code: '0A000',
    });
    // Whatever else is defined there is as before.
    await expect(a.write(`${ours} create table t (id int primary key); select 1`)).rejects.toMatchObject({
      code: '0A000',
    });
    await expect(a.write(`${ours} alter sequence mine owned by none; select 1`)).rejects.toMatchObject({
      code: '0A000',
    });
    expect([await sequence('mine'), await sequence('other')]).toEqual(before);
    // Not even where it is rolled back: the other sequence is set to a number of this writer.
    await a.client.query('begin');
    await a.client.query(change);
    await a.client.query(`select setval('other', 100)`);
    await a.client.query('rollback');
    expect(await sequence('other')).toEqual([['97', true, '16']]);
    // A savepoint takes back the change, and what allowed for it.
    const kept = await a.write('savepoint s', change, 'rollback to s', `select setval('mine', 200)`);
    expect(kept?.writeSet.changes).toMatchObject([{ kind: 'setval' }]);
    expect(await sequence('mine')).toEqual([['193', true, '16']]);
    expect(await a.rows('select * from public.witness')).toEqual([]);
  });
});

it('setval that has failed can be asked again in the same transaction', async () => {
  await onBoth('create sequence again');
  const setTo5 = `select setval('again', 5)`;
  await a.client.query(`begin; savepoint s; set transaction_read_only = on`);
  for (let i = 0; i < 2; i++) {
    await a.client.query('savepoint t');
    await expect(a.client.query(setTo5)).rejects.toMatchObject({ code: '25006' });
    await a.client.query('rollback to t');
  }
  await a.client.query(`rollback to s; ${setTo5}; ${setTo5}`);
  await a.client.query('rollback');
  const kept = await a.write('savepoint s', setTo5);
  expect(kept?.writeSet.changes).toMatchObject([{ kind: 'setval' }]);
});

it('TRUNCATE ... RESTART IDENTITY begins anew on every writer, and CONTINUE IDENTITY on none', async () => {
  await onBoth(
    'create table orders (id int generated always as identity (start 100 increment 10) primary key)',
    'create table lines (id serial primary key, o int references orders, n int generated by default as identity)',
    'create table parted (id int generated by default as identity, primary key (id)) partition by range (id)',
    'create table part_1 partition of parted for values from (0) to (1000)',
    'create table part_2 partition of parted for values from (1000) to (2000)',
  );
  const names = ['orders_id_seq', 'lines_id_seq', 'lines_n_seq', 'parted_id_seq'];
  const next = async (writer: TestWriter) =>
    (await writer.rows(`select ${names.map((name) => `nextval('public.${name}')::int`).join(', ')}`))[0];
  const anew = [
    [100, 1, 1, 1],
    [110, 2, 2, 2],
  ];
  expect([await next(a), await next(b)]).toEqual(anew);
  for (const [by, other] of [
    [a, b],
    [b, a],
  ] as const) {
    for (let i = 0; i < 5; i++) await Promise.all([next(a), next(b)]);
    const restart = await by.write(
      'savepoint s',
      'truncate parted restart identity',
      'rollback to s',
      'truncate orders, lines, parted restart identity',
    );
    expect(await other.apply(restart!.at, restart!.writeSet.payload)).toBe(true);
    expect([await next(a), await next(b)]).toEqual(anew);
    const goesOn = await by.write('truncate orders, lines, parted');
    expect(goesOn!.writeSet.changes.map(({ kind }) => kind)).toEqual(Array(4).fill('truncate'));
    expect(await other.apply(goesOn!.at, goesOn!.writeSet.payload)).toBe(true);
    expect([await next(a), await next(b)]).toEqual([
      [260, 17, 17, 17],
      [270, 18, 18, 18],
    ]);
  }
});

it('a sequence that is set so near its end that no number of a writer is left does not begin anew', async () => {
  await onBoth('create sequence ends maxvalue 100', 'create sequence sinks increment -1 minvalue -100');
  await onBoth(`select setval('ends', 99, false), setval('sinks', -99, false)`);
  for (const { client } of [a, b])
    for (const name of ['ends', 'sinks'])
      await expect(client.query(`select nextval('public.${name}')`)).rejects.toMatchObject({ code: '2200H' });
});

describe('an instance that has data and grows', () => {
  const KINDS = [
    ['serial', 'create table %s (id serial)', `%s_id_seq`],
    ['identity', 'create table %s (id int generated always as identity)', `%s_id_seq`],
    ['bare', 'create sequence %s', '%s'],
    ['by ten', 'create sequence %s increment 10 start 3', '%s'],
    ['down', 'create sequence %s increment -1', '%s'],
    ['down by ten', 'create sequence %s increment -10 start 1000 maxvalue 2000', '%s'],
    ['cached', 'create sequence %s cache 7', '%s'],
    ['narrow', 'create sequence %s maxvalue 1005 start 5 minvalue 1', '%s'],
  ] as const;
  const COUNTS = [0, 1, 5, 15, 16, 17, 993, 1000];

  it('gives out no number twice, on any writer', async () => {
    const engine = await engines.primary();
    const inDatabase = async <T>(database: string, work: (client: pg.Client) => Promise<T>): Promise<T> => {
      const client = await connectAdmin(engine, { timeoutMs: 20_000, database });
      return work(client).finally(() => client.end());
    };
    const become = (database: string, writer: number) =>
      inDatabase(database, (client) =>
        install(client, { writer, writers: [0, 1, 2, 3], incarnation: 1, secret: SECRET }),
      );
    const names = KINDS.flatMap(([kind, create, sequence]) =>
      COUNTS.map((count) => {
        const name = `${kind.replaceAll(' ', '_')}_${count}`;
        return { create: create.replace('%s', name), sequence: sequence.replace('%s', name), count };
      }),
    );
    const used = new Map(names.map(({ sequence }) => [sequence, new Set<string>()]));
    const wrong: string[] = [];
    const draw = async (client: pg.Client, sequence: string, who: string) => {
      try {
        const { rows } = await client.query<{ n: string }>(`select nextval('public.${sequence}') as n`);
        const { n } = rows[0]!;
        if (used.get(sequence)!.has(n)) wrong.push(`${who}: ${n} of ${sequence} again`);
        used.get(sequence)!.add(n);
      } catch (error) {
        // Its end.
        if ((error as { code?: string }).code !== '2200H') throw error;
      }
    };
    await inDatabase('template1', (client) => client.query('create database w0'));
    await inDatabase('w0', async (client) => {
      await client.query('set search_path = public');
      for (const { create, sequence, count } of names) {
        await client.query(create);
        const { rows } = await client.query<{ n: string }>(
          `select nextval('public.${sequence}') as n from generate_series(1, ${count})`,
        );
        for (const { n } of rows) used.get(sequence)!.add(n);
      }
    });
    await become('w0', 0);
    // The others are copies of what the first one has as it begins, and one of what it has later.
    const copyAs = async (writer: number) => {
      await inDatabase('template1', (client) => client.query(`create database w${writer} template w0`));
      await become(`w${writer}`, writer);
    };
    const drawFrom = (writer: number, count: number) =>
      inDatabase(`w${writer}`, async (client) => {
        for (let i = 0; i < count; i++)
          for (const { sequence } of names) await draw(client, sequence, `writer ${writer}`);
      });
    await copyAs(1);
    await copyAs(2);
    await drawFrom(0, 2);
    await copyAs(3);
    for (const writer of [1, 2, 3, 0]) await drawFrom(writer, 3);
    // It begins once more, as with each start of its proxy.
    await become('w1', 1);
    await drawFrom(1, 1);
    expect(wrong).toEqual([]);
  }, 90_000);
});
