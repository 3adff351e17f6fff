/** Two writers whose log is on a real etcd, with real clients. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type pg from 'pg';
import { eventually, value } from '../../support/clients.js';
import { expectEveryUpdateCounted, expectSecondRefused } from '../writer/contention.js';
import { retrying, TestCluster } from '../writer/cluster.js';
import { hasEtcd, TestEtcd } from './server.js';

type Failure = { code?: string; message: string; detail?: string; hint?: string } | null;
const failure = (work: Promise<unknown>): Promise<Failure> =>
  work.then(
    () => null,
    (error: Failure) => error,
  );

const suite = hasEtcd ? describe : describe.skip;

suite('two writers on etcd', () => {
  let etcd: TestEtcd;
  let cluster: TestCluster;
  let a: pg.Client;
  let b: pg.Client;

  beforeAll(async () => {
    etcd = await TestEtcd.start();
    cluster = await TestCluster.start({ etcd: await etcd.configOf('/shop') });
    a = await cluster.members[0]!.connect();
    b = await cluster.members[1]!.connect();
  });

  afterAll(async () => {
    await a?.end();
    await b?.end();
    await cluster?.close();
    await etcd?.close();
  });

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

  it("a proxy's process is replaced under its clients, of either writer", async () => {
    for (const [member, client] of [
      [cluster.members[0]!, a],
      [cluster.members[1]!, b],
    ] as const) {
      const pid = await value(client, 'select pg_backend_pid()');
      expect((await member.handOver()).sessions).toEqual({ handed: 1, lost: [] });
      await retrying(() => client.query('update account set balance = balance - 1 where id = 4'));
      expect(await value(client, 'select pg_backend_pid()')).toBe(pid);
      await cluster.atRest();
    }
    expect(await value(a, 'select balance from account where id = 4')).toBe(98);
  });

  it('disjoint keys: nobody is refused', async () => {
    const work = async (client: pg.Client, id: number): Promise<void> => {
      for (let i = 0; i < 30; i++)
        await client.query('update account set balance = balance + 1 where id = $1', [id]);
    };
    const before = await Promise.all(cluster.members.map(async (one) => (await one.status()).totals.refused));
    await Promise.all([work(a, 1), work(b, 2)]);
    await cluster.atRest();
    const after = await Promise.all(cluster.members.map(async (one) => (await one.status()).totals.refused));
    expect(after).toEqual(before);
    expect(await value(b, 'select sum(balance)::int from account where id <= 2')).toBe(260);
  });

  it('a hot row counts every update exactly once, with retries', () =>
    expectEveryUpdateCounted({ cluster, a, b }));

  it('of two transactions on one row the second is refused, and told which row and by whom', () =>
    expectSecondRefused({ cluster, a, b }));

  it('both commit at once: etcd decides, and the events tell which key and who won', async () => {
    for (let round = 0; round < 5; round++) {
      for (const [client, to] of [
        [a, 1],
        [b, 2],
      ] as const) {
        await client.query('begin');
        await client.query(`update account set balance = ${to} where id = 5`);
      }
      const outcome = await Promise.all([failure(a.query('commit')), failure(b.query('commit'))]);
      for (const client of [a, b]) await client.query('rollback');
      const refused = outcome.filter((one) => one !== null);
      expect(refused).toMatchObject([{ code: '40001' }]);
      await cluster.atRest();
      expect(await value(a, 'select balance from account where id = 5')).toBe(outcome[0] === null ? 1 : 2);
    }
    const events = cluster.members.flatMap((one) => one.events);
    const decided = events.filter((event) => event.kind === 'decided');
    expect(decided[0]).toMatchObject({ by: 'etcd', decision: { kind: 'verdict' } });
    const refused = events.find((event) => event.kind === 'refused' && event.detail.includes('(5)'));
    expect(refused).toMatchObject({ sqlstate: '40001' });
    expect((refused as { detail: string }).detail).toMatch(
      /^Row \(5\) of public.account, by public.account_pkey: writer w[12] has it, with LSN \d+\.$/,
    );
  });

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

  it('definitions are a barrier, and go through the primary, whoever that is', async () => {
    const refused = await failure(b.query('create table elsewhere (id int primary key)'));
    expect(refused?.code).toBe('0A000');
    expect(refused?.hint).toContain(`postgres://127.0.0.1:${cluster.members[0]!.port}/`);
    await b.query('begin');
    await b.query('update account set balance = 1 where id = 6');
    await a.query('alter table account add column note text');
    expect(await failure(b.query('commit'))).toMatchObject({ code: '40001' });
    await b.query('rollback');
    await cluster.lead(1);
    await retrying(() => b.query('create table elsewhere (id int primary key)'));
    expect((await failure(a.query('create table there (id int primary key)')))?.code).toBe('0A000');
    await cluster.atRest();
    await cluster.lead(0);
  });

  it('a global read sees what any writer has acknowledged before', async () => {
    await b.query(`set dbproxy.read_mode = 'global'`);
    for (let i = 0; i < 20; i++) {
      await retrying(() => a.query('update account set balance = $1 where id = 7', [i]));
      expect(await value(b, 'select balance from account where id = 7')).toBe(i);
    }
    await b.query('reset dbproxy.read_mode');
  });

  it('transactions of thousands of rows, and of megabytes, beside small ones', async () => {
    await retrying(() => a.query('create table big (id int primary key, filler text)'));
    await cluster.atRest();
    let isOver = false;
    const small = (async () => {
      while (!isOver) await retrying(() => b.query('update account set balance = balance + 1 where id = 8'));
    })();
    await retrying(() =>
      a.query(`insert into big select g, repeat(md5(g::text), 32) from generate_series(1, 3000) g`),
    );
    await retrying(() => a.query(`update big set filler = 'changed' where id <= 500`));
    isOver = true;
    await small;
    await cluster.atRest();
    expect(await value(b, `select count(*)::int from big where filler = 'changed'`)).toBe(500);
    expect(await value(b, `select sum(length(filler))::int from big where id > 500`)).toBe(2500 * 1024);
  });

  it('a large transaction excludes a small one that touches one of its rows, and the other way round', async () => {
    await a.query('begin');
    await a.query(`update big set filler = 'by a'`);
    await b.query('begin');
    await b.query(`update big set filler = 'by b' where id = 77`);
    const outcome = await Promise.all([failure(a.query('commit')), failure(b.query('commit'))]);
    for (const client of [a, b]) await client.query('rollback');
    expect(outcome.filter((one) => one !== null)).toMatchObject([{ code: '40001' }]);
    await cluster.atRest();
    expect(await value(a, `select filler from big where id = 77`)).toBe(
      outcome[0] === null ? 'by a' : 'by b',
    );
  });

  it('what all have is removed from etcd: entries, pieces and marks', async () => {
    await cluster.atRest();
    await eventually(
      'it to be removed',
      async () => (await etcd.keys('/shop')).filter((key) => /\/(key|piece|log\/e)\//.test(key)).length === 0,
      20_000,
    );
    await retrying(() => b.query('update account set balance = 0'));
    await cluster.atRest();
  });
});
