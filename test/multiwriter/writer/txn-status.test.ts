/** What became of a transaction whose COMMIT was not answered: asked on another writer, by the name it gave itself before. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type pg from 'pg';
import { adminQuery } from '../../../src/engine/index.js';
import { connectPg, directTo, eventually, value } from '../../support/clients.js';
import { Pause } from '../../support/pause.js';
import { type Member, TestCluster } from './cluster.js';

let cluster: TestCluster;
const clients: pg.Client[] = [];
const connect = async (writer: number): Promise<pg.Client> => {
  const client = await cluster.members[writer]!.connect();
  clients.push(client);
  return client;
};

beforeAll(async () => {
  cluster = await TestCluster.start();
  const client = await connect(0);
  await client.query('create table t (id int primary key, n int not null default 0)');
  await client.query('insert into t values (0)');
  await cluster.atRest();
}, 60_000);

afterAll(async () => {
  for (const client of clients) await client.end().catch(() => undefined);
  await cluster?.close();
});

const begin = async (client: pg.Client): Promise<string> => {
  await client.query('begin');
  return String(await value(client, 'select dbproxy.txn_id()'));
};
const status = async (client: pg.Client, id: string): Promise<unknown> =>
  value(client, `select dbproxy.txn_status('${id}')`);
const codeOf = (work: Promise<unknown>): Promise<string | null> =>
  work.then(
    () => null,
    (error: { code?: string }) => error.code ?? 'none',
  );

describe('dbproxy.txn_status', () => {
  it('in progress, committed, aborted: the same on every writer', async () => {
    const [own, here, there] = [await connect(0), await connect(0), await connect(1)];
    const committed = await begin(own);
    await own.query('insert into t values (1)');
    expect(await status(own, committed)).toBe('in progress');
    for (const client of [here, there]) expect(await status(client, committed)).toBe('in progress');
    expect(await value(own, 'select dbproxy.txn_id()')).toBe(committed);
    await own.query('commit');
    for (const client of [own, here, there]) expect(await status(client, committed)).toBe('committed');
    const rolledBack = await begin(own);
    await own.query('insert into t values (2)');
    await own.query('rollback');
    const failed = await begin(own);
    await own.query('savepoint s');
    for (const is of ['in progress', 'aborted']) {
      expect(await codeOf(own.query('insert into t values (1)'))).toBe('23505');
      // Behind a savepoint it may go on. Its client knows of the error before its engine has put it down.
      for (const client of [here, there])
        await eventually(`it to be ${is}`, async () => (await status(client, failed)) === is);
      if (is === 'in progress') await own.query('rollback to s; release s');
    }
    await own.query('commit');
    const lost = await begin(own);
    await own.query('update t set n = 1 where id = 0');
    await there.query('update t set n = 2 where id = 0');
    await eventually(
      'it is overtaken',
      async () =>
        (await status(here, lost)) !== 'in progress' || (await codeOf(own.query('select 1'))) !== null,
    );
    await own.query('rollback');
    for (const client of [own, here, there]) {
      for (const id of [rolledBack, failed, lost]) expect(await status(client, id)).toBe('aborted');
    }
    // Nothing but its name: it is committed all the same.
    const empty = await begin(own);
    await own.query('commit');
    expect(await status(there, empty)).toBe('committed');
    await cluster.atRest();
  });

  it('of the client that was refused, and of one whose connection broke before COMMIT', async () => {
    const [a, b, asker] = [await connect(0), await connect(1), await connect(1)];
    const ids = [await begin(a), await begin(b)];
    await a.query('insert into t values (30)');
    await b.query('insert into t values (30)');
    const codes = await Promise.all([codeOf(a.query('commit')), codeOf(b.query('commit'))]);
    await Promise.all([a.query('rollback'), b.query('rollback')]);
    await cluster.atRest();
    const wanted = codes.map((code) => (code === null ? 'committed' : 'aborted'));
    expect(wanted.toSorted()).toEqual(['aborted', 'committed']);
    for (const client of [a, asker])
      expect(await Promise.all(ids.map((id) => status(client, id)))).toEqual(wanted);
    const left = await begin(a);
    await a.query('insert into t values (31)');
    (a as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
    await eventually('its end', async () => (await status(asker, left)) === 'aborted');
    expect(await value(asker, 'select count(*)::int from t where id = 31')).toBe(0);
  });

  it('in the extended protocol, of several at once, in a block, on its own', async () => {
    const [a, b] = [await connect(0), await connect(1)];
    const { rows } = await a.query<{ id: string }>({
      text: 'insert into t values ($1) returning dbproxy.txn_id() as id',
      values: [40],
    });
    const [one] = rows;
    const two = await begin(a);
    const ask = {
      text: 'select dbproxy.txn_status(id) as is from unnest($1::text[]) with ordinality u(id, n) order by n',
      values: [[one!.id, two, null]],
    };
    const seen = async (query: object) =>
      (await b.query<{ is: string }>(query as pg.QueryConfig)).rows.map(({ is }) => is);
    expect(await seen(ask)).toEqual(['committed', 'in progress', null]);
    await a.query('rollback');
    expect(await seen({ ...ask, name: 'ask' })).toEqual(['committed', 'aborted', null]);
    await b.query('begin');
    expect(await seen({ ...ask, name: 'ask' })).toEqual(['committed', 'aborted', null]);
    await b.query('insert into t values (41)');
    expect(await seen(ask)).toEqual(['committed', 'aborted', null]);
    await b.query('commit');
    await b.query('begin; set transaction isolation level repeatable read');
    expect(await codeOf(b.query(ask))).toBe('25001');
    await b.query('rollback');
    await cluster.atRest();
  });

  it('what is no name, of no writer, asked where nobody sees it, or within a savepoint', async () => {
    const [a, b] = [await connect(0), await connect(1)];
    expect(await codeOf(status(b, 'yesterday'))).toBe('22P02');
    expect(await status(b, 'w9.1.5.1700000000000000')).toBe('unknown');
    await a.query(
      `create function hidden(text) returns text language plpgsql as $$ begin return dbproxy.txn_status($1); end $$`,
    );
    await cluster.atRest();
    const fresh = await connect(1);
    expect(await codeOf(fresh.query(`select hidden('w1.1.5.1700000000000000')`))).toBe('55000');
    await a.query('begin');
    await a.query('savepoint s');
    expect(await codeOf(a.query('select dbproxy.txn_id()'))).toBe('25001');
    await a.query('rollback');
    const id = await begin(a);
    await a.query('savepoint s');
    expect(await value(a, 'select dbproxy.txn_id()')).toBe(id);
    await a.query('insert into t values (50)');
    await a.query('rollback to s');
    await a.query('commit');
    expect(await status(b, id)).toBe('committed');
    await cluster.atRest();
  });

  it('a writer that is behind does not say that it is aborted', async () => {
    const [a, b] = [await connect(0), await connect(1)];
    const holder = await connectPg(directTo(cluster.members[1]!.engine));
    await holder.query('begin');
    await holder.query('select from t where id = 0 for update');
    const id = await begin(a);
    await a.query('update t set n = n + 1 where id = 0');
    await a.query('commit');
    const answer = status(b, id);
    const early = await Promise.race([
      answer,
      eventually('time for it', async () => {
        const { queues } = await cluster.members[1]!.status();
        return queues.apply > 0 && queues.waiting > 0 ? 'waits' : null;
      }),
    ]);
    expect(early).toBe('waits');
    await holder.query('rollback');
    await holder.end();
    expect(await answer).toBe('committed');
  });

  it('none is aborted while a session does not show what it is in', async () => {
    const [a, b] = [await connect(0), await connect(1)];
    const id = await begin(a);
    await a.query('rollback');
    const hidden = await connectPg(directTo(cluster.members[0]!.engine));
    await hidden.query('set track_activities = off');
    expect(await status(b, id)).toBe('in progress');
    await hidden.query('reset track_activities');
    await hidden.end();
    expect(await status(b, id)).toBe('aborted');
  });

  it('one that is too old is unknown, and only that', async () => {
    const [a, b] = [await connect(0), await connect(1)];
    const committed = await begin(a);
    await a.query('insert into t values (60)');
    await a.query('commit');
    const rolledBack = await begin(a);
    await a.query('rollback');
    await cluster.atRest();
    const { engine } = cluster.members[1]!;
    await adminQuery(
      engine,
      `insert into dbproxy.named (id, begun) select 'w1.1.1.' || g, (extract(epoch from now()) * 1000000)::bigint from generate_series(1, 100000) g`,
    );
    const young = await begin(a);
    await a.query('insert into t values (61)');
    await a.query('commit');
    // One after the other: what is a little younger than those that are forgotten is still known not to have committed.
    for (const old of [committed, rolledBack])
      await eventually('the old ones to be forgotten', async () => (await status(b, old)) === 'unknown');
    expect(await status(b, young)).toBe('committed');
    const later = await begin(a);
    await a.query('rollback');
    expect(await status(b, later)).toBe('aborted');
    const [{ count }] = (await adminQuery<{ count: string }>(
      engine,
      'select count(*) from dbproxy.named',
    )) as [{ count: string }];
    expect(Number(count)).toBeLessThanOrEqual(100_000);
  });
});

describe('its proxy is killed during COMMIT, and another writer is asked', () => {
  /** Until somebody knows; what was said before that. */
  const settled = async (client: pg.Client, id: string, isFinal: () => boolean): Promise<unknown> =>
    eventually(
      `the outcome of ${id}`,
      async () => {
        const is = await status(client, id);
        if (is === 'in progress') return null;
        expect(is === 'committed' || isFinal()).toBe(true);
        return is;
      },
      60_000,
    );

  it.each([
    ['proxy.closing', 100, 'aborted'],
    ['proxy.propose', 101, 'aborted'],
    ['writer.decided', 102, 'committed'],
    ['proxy.certify', 103, 'committed'],
    ['proxy.certified', 104, 'committed'],
  ])(
    'at %s',
    async (point, row, expected) => {
      const [first, second] = cluster.members as [Member, Member];
      await cluster.lead(1);
      await first.kill();
      const pause = new Pause(point, cluster.engines.home);
      await first.start(pause.env);
      await first.isOpen();
      const client = await first.connect();
      const id = await begin(client);
      await client.query(`insert into t values (${row})`);
      const broken = codeOf(client.query('commit'));
      await pause.reached();
      const asker = await second.connect();
      clients.push(asker);
      // It may be applied here already; it is not said to be aborted as long as it can commit.
      expect(await status(asker, id)).not.toBe('aborted');
      await first.kill();
      expect(await broken).not.toBe(null);
      let isBack = false;
      expect(await status(asker, id)).not.toBe('aborted');
      const outcome = settled(asker, id, () => isBack);
      await first.start();
      isBack = true;
      expect(await outcome).toBe(expected);
      await first.isOpen();
      await cluster.atRest();
      for (const member of [first, second]) {
        const other = await member.connect();
        expect(await status(other, id)).toBe(expected);
        expect(await value(other, `select count(*)::int from t where id = ${row}`)).toBe(
          expected === 'committed' ? 1 : 0,
        );
        await other.end();
      }
    },
    90_000,
  );
});
