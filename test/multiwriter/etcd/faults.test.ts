/** What may happen to writers on etcd, and to etcd, while clients work: nothing acknowledged is lost, nothing is done twice. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Layout } from '../../../src/multiwriter/etcd/layout.js';
import { eventually, value } from '../../support/clients.js';
import { Pause } from '../../support/pause.js';
import { retrying, TestCluster } from '../writer/cluster.js';
import { adding } from './adding.js';
import { hasEtcd, TestEtcd } from './server.js';

const PREFIX = '/faults';
const suite = hasEtcd ? describe : describe.skip;

suite('writers on etcd', () => {
  let etcd: TestEtcd;
  let cluster: TestCluster;

  beforeAll(async () => {
    etcd = await TestEtcd.start();
    cluster = await TestCluster.start({ etcd: await etcd.configOf(PREFIX) });
    const a = await cluster.members[0]!.connect();
    await a.query('create table account (id int primary key, balance int not null)');
    await a.query('insert into account select g, 0 from generate_series(1, 20) g');
    await a.end();
    await cluster.atRest();
  });

  afterAll(async () => {
    await cluster?.close();
    await etcd?.close();
  });

  const balance = async (writer: number, id: number): Promise<unknown> => {
    const client = await cluster.members[writer]!.connect();
    try {
      return await value(client, `select balance from account where id = ${id}`);
    } finally {
      await client.end();
    }
  };

  /** Writer 1 dies at that step with one transaction under way, and comes back. */
  const killAt = async (step: string, id: number): Promise<unknown> => {
    const [, second] = cluster.members;
    await second!.kill();
    const pause = new Pause(step, cluster.engines.home);
    await second!.start(pause.env);
    await second!.isOpen();
    const client = await second!.connect();
    const work = client.query(`update account set balance = balance + 1 where id = ${id}`);
    work.catch(() => undefined);
    await pause.reached();
    await second!.kill();
    await expect(work).rejects.toThrow();
    await client.end().catch(() => undefined);
    await second!.start();
    await second!.isOpen();
    await cluster.atRest();
    const both = await Promise.all([balance(0, id), balance(1, id)]);
    expect(both[0]).toBe(both[1]);
    return both[0];
  };

  it('kill -9 of a proxy before it has asked etcd: nothing has happened', async () => {
    expect(await killAt('etcd.propose', 1)).toBe(0);
  });

  it('kill -9 when etcd has it, and nobody was told: it is carried out once, on both', async () => {
    expect(await killAt('etcd.committed', 2)).toBe(1);
  });

  it('kill -9 when it is decided, before its own COMMIT: it is carried out once, on both', async () => {
    expect(await killAt('writer.decided', 3)).toBe(1);
  });

  it('kill -9 after its COMMIT, before the client hears of it: it is there once', async () => {
    expect(await killAt('proxy.certified', 4)).toBe(1);
  });

  describe('one that was judged and waits before it asks etcd, while another one commits', () => {
    /** Of writer 1, released when the other one, of writer 0, is in the log. Its failure, or null. */
    const overtaken = async (mine: string, other: string): Promise<{ code?: string } | null> => {
      const [first, second] = cluster.members;
      await second!.kill();
      const pause = new Pause('etcd.propose', cluster.engines.home);
      await second!.start(pause.env);
      await second!.isOpen();
      const [a, b] = [await first!.connect(), await second!.connect()];
      const before = (await second!.status()).reached;
      const work = b.query(mine).then(
        () => null,
        (error: { code?: string }) => error,
      );
      await pause.reached();
      await a.query(other);
      await eventually(
        'the other one to be known',
        async () => JSON.stringify((await second!.status()).reached) !== JSON.stringify(before),
      );
      await pause.goOn();
      const outcome = await work;
      await a.end();
      await b.end();
      await cluster.atRest();
      return outcome;
    };
    const add = (where: string): string => `update account set balance = balance + 1 where ${where}`;

    it('a small one, and a small one on its row: refused', async () => {
      expect(await overtaken(add('id = 10'), add('id = 10'))).toMatchObject({ code: '40001' });
    });

    it('a small one, and one with too many keys for marks: refused', async () => {
      const a = await cluster.members[0]!.connect();
      await a.query('create table many (id int primary key, balance int not null)');
      await a.query('insert into many select g, 0 from generate_series(1, 300) g');
      await a.end();
      await cluster.atRest();
      const all = 'update many set balance = balance + 1';
      expect(await overtaken(`${all} where id = 200`, all)).toMatchObject({ code: '40001' });
      expect(await overtaken(all, `${all} where id = 200`)).toMatchObject({ code: '40001' });
    });

    it('a small one, and one with too many keys in another table: both commit', async () => {
      expect(await overtaken(add('id = 11'), 'update many set balance = 0')).toBeNull();
      expect(await overtaken('update many set balance = 0', add('id = 11'))).toBeNull();
    });

    it('a reference, and the row it refers to: refused', async () => {
      const a = await cluster.members[0]!.connect();
      await a.query('create table child (id int primary key, account int not null references account)');
      await a.end();
      await cluster.atRest();
      const outcome = await overtaken(
        'insert into child values (1, 20)',
        'delete from account where id = 20',
      );
      expect(outcome).toMatchObject({ code: '40001' });
    });
  });

  it('an engine that crashes gets again what it had not synced', async () => {
    const [first, second] = cluster.members;
    const client = await first!.connect();
    for (let i = 0; i < 20; i++)
      await retrying(() => client.query('update account set balance = balance + 1 where id = 5'));
    await client.end();
    await second!.crashEngine();
    await second!.isOpen();
    await cluster.atRest();
    expect(await balance(1, 5)).toBe(20);
  });

  it('etcd is killed and started again while clients work: every acknowledged commit is there, once', async () => {
    const work = adding(cluster, 6);
    for (let round = 0; round < 3; round++) {
      await work.progressed();
      await etcd.kill();
      // That somebody finds it away.
      await delay(500);
      await etcd.start();
    }
    await work.progressed();
    const acknowledged = await work.stop();
    await cluster.atRest();
    expect(await balance(0, 6)).toBe(acknowledged);
    expect(await balance(1, 6)).toBe(acknowledged);
  }, 120_000);

  it('a writer that was away while etcd forgot its history goes on with the entries themselves', async () => {
    const [first, second] = cluster.members;
    await second!.kill();
    const client = await first!.connect();
    for (let i = 0; i < 30; i++) await client.query(`update account set balance = balance + 1 where id = 7`);
    await client.end();
    await etcd.compact();
    await second!.start();
    await second!.isOpen();
    await cluster.atRest();
    expect(await balance(1, 7)).toBe(30);
  });

  it('a watch that begins before what etcd remembers: a list instead', async () => {
    const [first, second] = cluster.members;
    // Its watch stands still with its process, and begins anew on a revision that is gone.
    process.kill(second!.proxy!.pid, 'SIGSTOP');
    try {
      // Else what the watch brings would wait for it in its socket.
      await etcd.kill();
      await etcd.start();
      const client = await first!.connect();
      for (let i = 0; i < 30; i++)
        await client.query(`update account set balance = balance + 1 where id = 8`);
      await client.end();
      await etcd.compact();
    } finally {
      process.kill(second!.proxy!.pid, 'SIGCONT');
    }
    await cluster.atRest();
    expect(await balance(1, 8)).toBe(30);
  });

  it('an older incarnation that wakes up cannot commit any more, and stops', async () => {
    const [, second] = cluster.members;
    const old = second!.proxy!;
    const client = await second!.connect();
    await client.query('begin');
    await client.query('update account set balance = 1000 where id = 9');
    // Whoever takes its place on etcd is newer.
    await etcd.withClient(async (etcdClient) => {
      const key = new Layout(PREFIX).writer(1);
      const { value: text } = (await etcdClient.get(key)).found[0]!;
      const place = JSON.parse(text.toString('utf8')) as { incarnation: number };
      await etcdClient.txn({
        then: [{ put: key, value: JSON.stringify({ ...place, incarnation: place.incarnation + 1 }) }],
      });
    });
    await expect(client.query('commit')).rejects.toThrow();
    await eventually('it to stop', () => second!.events.some((event) => event.kind === 'stopped'));
    expect(second!.proxy).toBe(old);
    await client.end().catch(() => undefined);
    await second!.kill();
    await second!.start();
    await second!.isOpen();
    await cluster.atRest();
    expect(await balance(0, 9)).toBe(0);
  });

  it('what is not there any more cannot be caught up with: the writer stops, and says why', async () => {
    const [, second] = cluster.members;
    await cluster.atRest();
    await second!.kill();
    const { reached } = await cluster.members[0]!.status();
    await etcd.withClient(async (client) => {
      const beyond = Object.fromEntries(Object.entries(reached).map(([writer, at]) => [writer, at + 16_384]));
      await client.txn({ then: [{ put: new Layout(PREFIX).truncated, value: JSON.stringify(beyond) }] });
    });
    await second!.start();
    const status = await eventually('it to stop', async () => {
      const now = await second!.status();
      return now.state === 'stopped' ? now : null;
    });
    expect(status.why).toMatchObject({
      kind: 'diverged',
      message: expect.stringContaining('no longer has what this engine lacks') as string,
    });
  });
});

suite('an etcd with users', () => {
  let etcd: TestEtcd;
  const post = (path: string, body: object): Promise<unknown> =>
    etcd.withClient((client) => client.transport.ask(path, body));

  beforeAll(async () => {
    // Tokens that end soon are asked for again.
    etcd = await TestEtcd.start(['--auth-token-ttl', '2']);
    await post('/v3/auth/user/add', { name: 'root', password: 'secret:1' });
    await post('/v3/auth/role/add', { name: 'root' });
    await post('/v3/auth/user/grant', { user: 'root', role: 'root' });
    await post('/v3/auth/enable', {});
  });
  afterAll(() => etcd?.close());

  const urlOf = (user: string): string => `etcd://${user}@127.0.0.1:${etcd.port}/users`;

  it('with the password it works, and again when the token has ended', async () => {
    await etcd.withClient(async (client) => {
      await client.txn({ then: [{ put: '/users/a', value: '1' }] });
      await delay(5_000);
      expect((await client.get('/users/a')).found).toHaveLength(1);
    }, urlOf('root:secret%3A1'));
  });

  it('with another one, or none, it says so', async () => {
    const ask = (url: string) => etcd.withClient((client) => client.get('/users/a'), url);
    await expect(ask(urlOf('root:other'))).rejects.toMatchObject({ code: 'DBP_ETCD_REFUSED' });
    await expect(ask(etcd.url('/users'))).rejects.toMatchObject({ code: 'DBP_ETCD_REFUSED' });
  });
});

suite('TLS', () => {
  it('with the right root it works, with none it is refused', async () => {
    const { execFileSync } = await import('node:child_process');
    const directory = await mkdtemp(join(tmpdir(), 'dbptls-'));
    const file = (name: string): string => join(directory, name);
    await writeFile(file('san'), 'subjectAltName=IP:127.0.0.1');
    const openssl = (...words: string[]): void =>
      void execFileSync('openssl', words, { stdio: 'ignore', cwd: directory });
    openssl(
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-days',
      '2',
      '-subj',
      '/CN=root',
      '-keyout',
      'ca.key',
      '-out',
      'ca.pem',
    );
    openssl(
      'req',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-subj',
      '/CN=127.0.0.1',
      '-keyout',
      'etcd.key',
      '-out',
      'etcd.csr',
    );
    openssl(
      'x509',
      '-req',
      '-in',
      'etcd.csr',
      '-CA',
      'ca.pem',
      '-CAkey',
      'ca.key',
      '-CAcreateserial',
      '-days',
      '2',
      '-extfile',
      'san',
      '-out',
      'etcd.pem',
    );
    const etcd = await TestEtcd.start(
      ['--cert-file', file('etcd.pem'), '--key-file', file('etcd.key')],
      `?ca=${file('ca.pem')}`,
    );
    try {
      await etcd.withClient((client) => client.txn({ then: [{ put: '/tls/a', value: '1' }] }));
      const blind = etcd.url('/tls').replace(/\?.*/, '?tls=on');
      const refused = etcd.withClient((client) => client.get('/tls/a'), blind);
      await expect(refused).rejects.toMatchObject({ code: 'DBP_ETCD_AWAY' });
    } finally {
      await etcd.close();
      await rm(directory, { recursive: true, force: true });
    }
  });
});
