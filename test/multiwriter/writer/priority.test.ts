/**
 * The policy `priority`, where it decides: one of three nodes is away and each of the others hears of one writer late, so that of two
 * transactions that collide each has one vote, and nobody can have been told that his commits.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type pg from 'pg';
import { adminQuery } from '../../../src/engine/index.js';
import type { StoreApi } from '../../../src/multiwriter/storage/api.js';
import { RpcClient } from '../../../src/rpc/index.js';
import { value } from '../../support/clients.js';
import { TestCluster } from './cluster.js';

/** Both have to be proposed within that. */
const DELAY_MS = 1_000;

let cluster: TestCluster;
const clients: pg.Client[] = [];
const connect = async (writer: number, config: pg.ClientConfig = {}): Promise<pg.Client> => {
  const client = await cluster.members[writer]!.connect(config);
  clients.push(client);
  return client;
};
const holdBack = async (node: number, writer: number): Promise<void> => {
  const rpc = await RpcClient.connect<StoreApi>(cluster.store!.nodes[node]!.config.socket);
  await rpc.call('holdBack', { writer, delayMs: DELAY_MS, forMs: 600_000 });
  rpc.close();
};

beforeAll(async () => {
  cluster = await TestCluster.start({ policy: 'priority' });
  const client = await connect(0);
  await client.query('create table hot (id int primary key, n int not null, by_writer int)');
  await client.query('insert into hot values (1, 0, null)');
  await cluster.atRest();
  await cluster.store!.nodes[1]!.kill();
  await holdBack(0, 1);
  await holdBack(2, 0);
}, 60_000);

afterAll(async () => {
  for (const client of clients) await client.end();
  await cluster?.close();
});

/** Both change the row and commit at once; the writer whose change stays. */
async function collide(both: readonly [pg.Client, pg.Client]): Promise<number> {
  await Promise.all(both.map((client) => client.query('begin')));
  await Promise.all(
    both.map((client, i) => client.query('update hot set n = n + 1, by_writer = $1 where id = 1', [i])),
  );
  const codes = await Promise.all(
    both.map((client) =>
      client.query('commit').then(
        () => null,
        (error: { code?: string }) => error.code,
      ),
    ),
  );
  expect(codes.toSorted()).toEqual(['40001', null].toSorted());
  await cluster.atRest();
  const winner = codes.indexOf(null);
  for (const client of both) expect(await value(client, 'select by_writer from hot')).toBe(winner);
  return winner;
}

describe('priority', () => {
  it.each([0, 1])('of the session: writer %i goes first, as often as they collide', async (first) => {
    const both = [await connect(0), await connect(1)] as const;
    await both[first]!.query('set dbproxy.priority = 10');
    for (let round = 0; round < 3; round++) expect(await collide(both)).toBe(first);
    await both[1 - first]!.query('set dbproxy.priority = 5');
    expect(await collide(both)).toBe(first);
  });

  it.each([0, 1])('of the application: the one on writer %i goes first', async (first) => {
    for (const { engine } of cluster.members) {
      const list = 'report = -5, checkout = 7';
      await adminQuery(engine, `alter database postgres set dbproxy.application_priorities = '${list}'`);
    }
    const names = first === 0 ? ['checkout', 'report'] : ['report', 'checkout'];
    const both = [
      await connect(0, { application_name: names[0]! }),
      await connect(1, { application_name: names[1]! }),
    ] as const;
    for (let round = 0; round < 2; round++) expect(await collide(both)).toBe(first);
  });

  it.each([0, 1])('of the role: the one on writer %i goes first', async (first) => {
    for (const { engine } of cluster.members) {
      await adminQuery(engine, `create role vip superuser login password 'x'`).catch(() => undefined);
      await adminQuery(engine, `alter role vip set dbproxy.priority = '3'`);
    }
    const vip = { user: 'vip', password: 'x' };
    const both = [
      await connect(0, first === 0 ? vip : {}),
      await connect(1, first === 1 ? vip : {}),
    ] as const;
    expect(await collide(both)).toBe(first);
  });

  it('one that is no number counts as none', async () => {
    const both = [await connect(0), await connect(1)] as const;
    await both[0].query(`set dbproxy.priority = 'high'`);
    await both[1].query('set dbproxy.priority = 1');
    expect(await collide(both)).toBe(1);
  });
});
