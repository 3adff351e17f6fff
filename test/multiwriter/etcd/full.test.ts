/** An etcd without room: some of what it refuses for that it has carried out, and no client is told that such a one has failed. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestCluster } from '../writer/cluster.js';
import { hasEtcd, TestEtcd } from './server.js';

const QUOTA_BYTES = 8 * 1024 * 1024;
const CLIENTS_OF_EACH = 12;
const suite = hasEtcd ? describe : describe.skip;

suite('an etcd whose quota is used up while clients work', () => {
  let etcd: TestEtcd;
  let cluster: TestCluster;

  beforeAll(async () => {
    etcd = await TestEtcd.start([
      ...['--quota-backend-bytes', String(QUOTA_BYTES)],
      // Each change is counted at once, not those of 100 ms together.
      ...['--backend-batch-limit', '1'],
    ]);
    cluster = await TestCluster.start({ etcd: await etcd.configOf('/full') });
  });
  afterAll(async () => {
    await cluster?.close();
    await etcd?.close();
  });

  it('58000 for what is not there, and only for that', async () => {
    const first = await cluster.members[0]!.connect();
    await first.query('create table filled (id int primary key, filler text)');
    await cluster.atRest();
    const told = new Map<number, string>();
    const clients = await Promise.all(
      cluster.members.flatMap((member) => Array.from({ length: CLIENTS_OF_EACH }, () => member.connect())),
    );
    while (![...told.values()].includes('58000')) {
      const round = clients.map((client, index) => ({ client, id: told.size + index }));
      for (const { client, id } of round) {
        await client.query('begin');
        await client.query(`insert into filled values (${id}, repeat('x', 100000))`);
      }
      // At once: etcd looks for room before it proposes, and again when it carries out; which of the two refuses is its affair.
      const commits = round.map(async ({ client, id }) => {
        const code = await client.query('commit').then(
          () => '',
          (error: { code: string }) => error.code,
        );
        told.set(id, code);
      });
      await Promise.all(commits);
    }
    await Promise.all(clients.map((client) => client.end()));
    await cluster.atRest();
    const { rows } = await first.query<{ id: number }>('select id from filled order by id');
    const succeeded = [...told].filter(([, code]) => code === '').map(([id]) => id);
    expect(rows.map(({ id }) => id)).toEqual(succeeded.sort((a, b) => a - b));
    expect(new Set(told.values())).toEqual(new Set(['', '58000']));
    await first.end();
  }, 120_000);
});
