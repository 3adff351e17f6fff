/** Two writers with real clients: what one commits the other has, and what collides is told apart. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type pg from 'pg';
import postgres from 'postgres';
import { eventually, value } from '../../support/clients.js';
import { expectEveryUpdateCounted, expectSecondRefused } from './contention.js';
import { retrying, TestCluster } from './cluster.js';

let cluster: TestCluster;
let a: pg.Client;
let b: pg.Client;

beforeAll(async () => {
  cluster = await TestCluster.start();
  a = await cluster.members[0]!.connect();
  b = await cluster.members[1]!.connect();
});

afterAll(async () => {
  await a?.end();
  await b?.end();
  await cluster?.close();
});

type Failure = { code?: string; message: string; detail?: string; hint?: string } | null;
const failure = (work: Promise<unknown>): Promise<Failure> =>
  work.then(
    () => null,
    (error: Failure) => error,
  );

describe('two writers', () => {
  it('definitions and rows of one come to the other', async () => {
    await a.query('create table account (id int primary key, balance int not null)');
    await a.query('insert into account select g, 100 from generate_series(1, 10) g');
    await eventually(
      'the rows to arrive',
      async () => (await value(b, `select count(*)::int from account`).catch(() => 0)) === 10,
    );
    await b.query('update account set balance = balance - 1 where id = 3');
    await eventually(
      'the update to come back',
      async () => (await value(a, 'select balance from account where id = 3')) === 99,
    );
    await cluster.atRest();
  });

  it('a hot row counts every update exactly once, with retries', () =>
    expectEveryUpdateCounted({ cluster, a, b }));

  it('of two explicit transactions on one row the second is refused, and told by whom; the first is kept', () =>
    expectSecondRefused({ cluster, a, b }));

  it('unique keys and references hold over both', async () => {
    await a.query('create table parent (id int primary key, name text unique)');
    await a.query('create table child (id int primary key, parent int not null references parent)');
    await a.query(`insert into parent values (1, 'one'), (2, 'two')`);
    await cluster.atRest();
    const both = async (onA: string, onB: string): Promise<Failure[]> => {
      for (const [client, sql] of [
        [a, onA],
        [b, onB],
      ] as const) {
        await client.query('begin');
        await client.query(sql);
      }
      const failed = await Promise.all([failure(a.query('commit')), failure(b.query('commit'))]);
      for (const client of [a, b]) await client.query('rollback');
      await cluster.atRest();
      return failed.filter((one) => one !== null);
    };
    const unique = await both(
      `insert into parent values (10, 'same')`,
      `insert into parent values (11, 'same')`,
    );
    expect(unique).toMatchObject([{ code: '40001' }]);
    expect(await value(a, `select count(*)::int from parent where name = 'same'`)).toBe(1);
    const gone = await both('delete from parent where id = 2', 'insert into child values (1, 2)');
    expect(gone).toMatchObject([{ code: '40001' }]);
    const orphans = 'select count(*)::int from child left join parent p on p.id = parent where p.id is null';
    expect(await value(b, orphans)).toBe(0);
    expect(await both('insert into child values (5, 1)', 'insert into child values (6, 1)')).toEqual([]);
  });

  it('clients of other kinds: prepared statements, pipelines, transactions of a driver', async () => {
    const sql = postgres(cluster.members[1]!.proxy!.url(), { max: 2, onnotice: () => undefined });
    try {
      await retrying(() => sql`insert into account values (${200}, ${1})`);
      await retrying(() =>
        sql.begin(async (tx) => {
          await tx`update account set balance = balance + ${5} where id = 200`;
          await tx`insert into account values (201, 9)`;
        }),
      );
      expect((await sql`select balance from account where id = 200`)[0]).toEqual({ balance: 6 });
    } finally {
      await sql.end();
    }
    for (let i = 0; i < 3; i++) {
      await a.query({
        name: 'up',
        text: 'update account set balance = balance + $1 where id = $2',
        values: [i, 1],
      });
    }
    expect((await a.query('select balance from account where id = $1', [1])).rows).toEqual([
      { balance: 103 },
    ]);
    await cluster.atRest();
  });

  it('a definition refuses what has begun before it on its own writer; the others do not stop', async () => {
    await a.query('create schema s');
    await a.query('create table s.p (id int primary key)');
    await cluster.atRest();
    const other = await cluster.members[0]!.connect();
    const changed = { code: '40001', message: expect.stringContaining('the schema was changed') as string };
    // None of these takes a lock that the other one's rows would have to wait for.
    for (const [write, define] of [
      ['insert into s.p values (1)', 'alter schema s rename to s2'],
      ['update account set balance = 0 where id = 7', 'alter index account_pkey rename to account_key'],
    ] as const) {
      await other.query('begin');
      await other.query(write);
      await a.query(define);
      expect(await failure(other.query('commit'))).toMatchObject(changed);
    }
    await other.query('update account set balance = balance + 1 where id = 7');
    await b.query('insert into s2.p values (1)').catch(() => undefined);
    await other.end();
    await cluster.atRest();
  });

  it('a definition on a writer that is not the primary is refused with the way to the primary', async () => {
    const refused = await failure(b.query('create table elsewhere (id int primary key)'));
    expect(refused?.code).toBe('0A000');
    expect(refused?.hint).toContain(`postgres://127.0.0.1:${cluster.members[0]!.port}/`);
    for (const sql of ['table if not exists account (id int)', 'schema if not exists public'])
      await b.query(`create ${sql}`);
    expect((await failure(b.query('create table if not exists elsewhere (id int primary key)')))?.code).toBe(
      '0A000',
    );
    await b.query('create temp table own (id int)');
    await b.query('insert into own values (1)');
    expect(await value(b, 'select count(*)::int from own')).toBe(1);
  });

  it('a COMMIT or ROLLBACK in a procedure or a DO block is refused by PostgreSQL: each statement is in a transaction', async () => {
    await a.query('create table by_procedure (id int primary key)');
    for (const word of ['commit', 'rollback']) {
      const body = `begin insert into by_procedure values (1); ${word}; end`;
      await a.query(`create or replace procedure ends() language plpgsql as $$ ${body} $$`);
      for (const sql of ['call ends()', `do $$ ${body} $$`])
        expect(await failure(a.query(sql))).toMatchObject({ code: '2D000' });
    }
    await cluster.atRest();
    expect(await value(a, 'select count(*)::int from by_procedure')).toBe(0);
  });

  it('a check that ends the session where it is applied is left out there', async () => {
    await a.query(`create function ends_it(int) returns boolean language plpgsql as $$ begin
      if session_user = 'dbproxy_apply' then
        perform set_config('exit_on_error', 'on', false);
        raise exception 'ended';
      end if;
      return true; end $$`);
    await a.query('create table ending (id int primary key check (ends_it(id)))');
    await a.query('insert into ending values (1)');
    await a.query('insert into ending values (2)');
    await cluster.atRest();
    expect(await value(b, 'select count(*)::int from ending')).toBe(2);
  });

  it('sequences give out different numbers', async () => {
    await a.query('create table numbered (id serial primary key, by int)');
    await cluster.atRest();
    const insert = async (client: pg.Client, by: number) => {
      for (let i = 0; i < 10; i++) await client.query('insert into numbered (by) values ($1)', [by]);
    };
    await Promise.all([insert(a, 0), insert(b, 1)]);
    await cluster.atRest();
    expect(await value(a, 'select count(distinct id)::int from numbered')).toBe(20);
  });
});
