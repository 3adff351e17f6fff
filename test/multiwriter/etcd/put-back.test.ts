/** An etcd that is not what it was: put back to an older copy, or emptied, while writers run. They stop and say why; no commit waits. */
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { endOf } from '../../../src/multiwriter/etcd/client.js';
import { eventually } from '../../support/clients.js';
import { type Member, TestCluster } from '../writer/cluster.js';
import { hasEtcd, TestEtcd } from './server.js';

const PREFIX = '/before';
const suite = hasEtcd ? describe : describe.skip;

suite('writers that run, and an etcd', () => {
  let etcd: TestEtcd;
  let cluster: TestCluster;

  beforeEach(async () => {
    etcd = await TestEtcd.start();
    cluster = await TestCluster.start({ etcd: await etcd.configOf(PREFIX) });
  });
  afterEach(async () => {
    await cluster?.close();
    await etcd?.close();
  });

  const whyStopped = async (member: Member): Promise<unknown> => {
    const status = await eventually('it to stop', async () => {
      const now = await member.status();
      return now.state === 'stopped' ? now : null;
    });
    return status.why;
  };
  const diverged = (message: string): object => ({
    kind: 'diverged',
    message: expect.stringContaining(message) as string,
  });

  it('that is put back to an older copy: both stop, and so does one that starts', async () => {
    const data = join(etcd.directory, 'data');
    const copy = join(etcd.directory, 'copy');
    const client = await cluster.members[0]!.connect();
    await client.query('create table account (id int primary key, balance int not null)');
    await client.query('insert into account values (1, 0)');
    await cluster.atRest();
    await etcd.kill();
    await cp(data, copy, { recursive: true });
    await etcd.start();
    for (let i = 0; i < 50; i++) await client.query('update account set balance = balance + 1');
    await cluster.atRest();
    await etcd.kill();
    const waiting = client.query('update account set balance = -1');
    waiting.catch(() => undefined);
    await rm(data, { recursive: true });
    await cp(copy, data, { recursive: true });
    await etcd.start();
    const older = diverged('an old copy was put back');
    for (const member of cluster.members) expect(await whyStopped(member)).toMatchObject(older);
    await expect(waiting).rejects.toThrow();
    await client.end().catch(() => undefined);
    const [, second] = cluster.members;
    await second!.kill();
    await second!.start();
    expect(await whyStopped(second!)).toMatchObject(older);
  }, 60_000);

  it('whose prefix is emptied: it stops with its next commit', async () => {
    const client = await cluster.members[0]!.connect();
    await client.query('create table account (id int primary key)');
    await cluster.atRest();
    const below = `${PREFIX}/`;
    await etcd.withClient((one) => one.txn({ then: [{ remove: below, end: endOf(below) }] }));
    await expect(client.query('insert into account values (1)')).rejects.toThrow();
    expect(await whyStopped(cluster.members[0]!)).toMatchObject(diverged('was emptied'));
    await client.end().catch(() => undefined);
  }, 60_000);
});
