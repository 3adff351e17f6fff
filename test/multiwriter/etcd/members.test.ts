/** An etcd of several members, one of which goes away: the others have a majority, and commits go on. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { value } from '../../support/clients.js';
import { TestCluster } from '../writer/cluster.js';
import { adding } from './adding.js';
import { hasEtcd, TestEtcd } from './server.js';

const suite = hasEtcd ? describe : describe.skip;

suite('endpoints of a URL', () => {
  it('one that does not answer is left for the next', async () => {
    const etcd = await TestEtcd.start();
    try {
      const url = `etcd://127.0.0.1:1,127.0.0.1:${etcd.port}/several`;
      await etcd.withClient(async (client) => {
        await client.txn({ then: [{ put: '/several/a', value: '1' }] });
        expect((await client.get('/several/a')).found).toHaveLength(1);
      }, url);
    } finally {
      await etcd.close();
    }
  });
});

suite('three members', () => {
  let members: TestEtcd[] = [];
  let cluster: TestCluster;

  beforeAll(async () => {
    members = await TestEtcd.startThree();
    const url = `etcd://${members.map(({ port }) => `127.0.0.1:${port}`).join(',')}/three`;
    cluster = await TestCluster.start({ etcd: await members[0]!.configOf('/three', url) });
    const a = await cluster.members[0]!.connect();
    await a.query('create table account (id int primary key, balance int not null)');
    await a.query('insert into account select g, 0 from generate_series(1, 2) g');
    await a.end();
    await cluster.atRest();
  });

  afterAll(async () => {
    await cluster?.close();
    await Promise.all(members.map((member) => member.close()));
  });

  const expectCounted = async (id: number, acknowledged: number): Promise<void> => {
    await cluster.atRest();
    for (const member of cluster.members) {
      const client = await member.connect();
      expect(await value(client, `select balance from account where id = ${id}`)).toBe(acknowledged);
      await client.end();
    }
  };

  const leader = async (): Promise<TestEtcd> => {
    for (const member of members) if (await member.leads()) return member;
    throw new Error('no member leads');
  };

  it('the leader is killed while clients work, again and again: every acknowledged commit is there, once', async () => {
    const work = adding(cluster, 1);
    for (let round = 0; round < 3; round++) {
      await work.progressed();
      const killed = await leader();
      await killed.kill();
      // With two of three.
      await work.progressed();
      await killed.start();
    }
    await expectCounted(1, await work.stop());
  }, 120_000);

  it('the majority goes and comes back: every acknowledged commit is there, once', async () => {
    const work = adding(cluster, 2);
    await work.progressed();
    const [, second, third] = members;
    await Promise.all([second!.kill(), third!.kill()]);
    await second!.start();
    await work.progressed();
    await third!.start();
    await expectCounted(2, await work.stop());
  }, 120_000);
});
