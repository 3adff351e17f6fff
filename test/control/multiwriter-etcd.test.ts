/** Several writers as processes whose log is on a real etcd: `up --writers 2 --store etcd://…`. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { UpResult } from '../../src/control/api.js';
import { instanceEvents, startInstance, stopInstance, type UpRequest } from '../../src/control/client.js';
import { examine } from '../../src/control/doctor.js';
import { InstanceDirectory } from '../../src/control/instance-directory.js';
import { multiwriterOf } from '../../src/control/multiwriter/settings.js';
import { withoutEtcdPassword } from '../../src/multiwriter/etcd/index.js';
import { runConflict } from '../../src/conflict/index.js';
import { hasEtcd, TestEtcd } from '../multiwriter/etcd/server.js';
import { freePort, isRunning, LiveHome, processesBelow, scale, status, until } from './live.js';
import { rows } from './multiwriter-work.js';

const NAME = 'shop';
const suite = hasEtcd ? describe : describe.skip;

describe('what cannot be meant is refused before anything is made', () => {
  const store = 'etcd://127.0.0.1:2379/shop';
  const refused: readonly [string, Omit<UpRequest, 'name'>, RegExp][] = [
    ['one writer', { store }, /--store is for several writers/],
    ['quorums', { writers: 2, store, storageNodes: '3' }, /--storage-nodes are processes of this machine/],
    ['a policy', { writers: 2, store, writerPolicy: 'priority' }, /no --writer-policy priority/],
    ['another store', { writers: 2, store: 'redis://127.0.0.1' }, /it is etcd:\/\//],
    ['a port', { writers: 2, store: 'etcd://a:99999' }, /a:99999 is no host:port/],
    ['a setting', { writers: 2, store: `${store}?timeout=3` }, /it knows no timeout=/],
    ['half a certificate', { writers: 2, store: `${store}?cert=/c.pem` }, /cert and key go together/],
  ];
  test.each(refused)('%s', (_what, request, reason) => {
    expect(() => multiwriterOf(request, undefined)).toThrowError(reason);
  });

  test('an instance whose log is with storage nodes does not change to etcd', () => {
    const before = multiwriterOf({ writers: 2 }, undefined);
    expect(() => multiwriterOf({ store }, before)).toThrowError(/3\/3\/2 storage nodes, which stay/);
    expect(multiwriterOf({ writers: 2, store, writerPolicy: 'first' }, undefined)).toMatchObject({ store });
  });

  test.each([
    'u:open/sesame@h:2379/x',
    'u:12/sesame@h',
    'u:open@sesame@h',
    'u:open?sesame@h',
    'us/er:sesame@h',
    'u:sesame@h/x@y',
  ])('where the password of %s ends is not guessed, and none of it shown', (text) => {
    const asked = (): unknown => multiwriterOf({ writers: 2, store: `etcd://${text}` }, undefined);
    expect(asked).toThrowError(/%2F for \//);
    expect(asked).not.toThrowError(/open|sesame|12/);
    expect(withoutEtcdPassword(`etcd://${text}`)).not.toMatch(/open|sesame|12/);
  });

  test('a password is not in what people see', () => {
    const url = 'etcd://root:secret@10.0.0.1:2379,10.0.0.2:2379/shop';
    expect(multiwriterOf({ writers: 2, store: url }, undefined)?.store).toBe(
      'etcd://root@10.0.0.1:2379,10.0.0.2:2379/shop',
    );
    expect(() => multiwriterOf({ writers: 2, store: `${url}?x=1` }, undefined)).not.toThrowError(/secret/);
  });
});

suite('up --writers 2 --store', () => {
  let live: LiveHome;
  let etcd: TestEtcd;
  let started: UpResult;

  beforeAll(async () => {
    live = await LiveHome.open();
    etcd = await TestEtcd.start();
    started = await live.up(NAME, { writers: 2, store: etcd.url('/shop') });
  }, 120_000);
  afterAll(async () => {
    await live?.close();
    await etcd?.close();
  });

  test('two writers, no storage node; status names the store and its members', async () => {
    const { store, writers } = await status(NAME);
    expect(store).toMatchObject({
      etcd: etcd.url('/shop'),
      nodes: [{ id: `127.0.0.1:${etcd.port}`, state: 'in-service', pid: null }],
    });
    expect(writers.map(({ state }) => state)).toEqual(['running', 'running']);
    expect((await processesBelow(live.home)).filter((one) => one.includes('storage/main'))).toEqual([]);
    for (const { url } of started.writers) expect(await rows(url, 'select 1 as one')).toEqual([{ one: 1 }]);
  });

  test('again: it runs already; with another store it is refused', async () => {
    const same = await startInstance({ name: NAME, writers: 2, store: etcd.url('/shop') });
    expect(same).toMatchObject({ alreadyRunning: true });
    await expect(startInstance({ name: NAME, store: etcd.url('/else') })).rejects.toMatchObject({
      code: 'DBP_INSTANCE_SETTINGS_DIFFER',
    });
  });

  test('conflict: which keys, who won, what the client saw; nothing lost, nothing diverged', async () => {
    const result = await runConflict(NAME, { rounds: 5 });
    expect(result).toMatchObject({ lostUpdates: 0, diverged: false, splitVotes: 0 });
    expect(result.scenes.map(({ scene, ok }) => [scene, ok])).toEqual([
      ['hot-row', true],
      ['unique-key', true],
      ['foreign-key', true],
    ]);
    expect(result.conflicts).toBeGreaterThan(0);
    const verdict = result.verdicts.find(({ transactions }) => transactions.length === 2);
    expect(verdict).toMatchObject({
      primary: 'etcd',
      transactions: [{ outcome: 'commit' }, { outcome: 'abort', reasonKind: 'loses' }],
    });
    expect(verdict?.transactions[1]?.client?.sqlstate).toBe('40001');
    await expect(runConflict(NAME, { scenes: ['split-vote'] })).rejects.toMatchObject({ code: 'DBP_USAGE' });
  }, 120_000);

  test('kill -9 of the proxy that leads: another one leads, and it comes back', async () => {
    const pid = (await InstanceDirectory.of(NAME).readProxy())?.process.pid ?? 0;
    process.kill(pid, 'SIGKILL');
    await until('it is gone', () => !isRunning(pid));
    await until(
      'both run, and one leads',
      async () => {
        const { state, writers } = await status(NAME);
        return state === 'running' && writers.some(({ leads }) => leads);
      },
      60_000,
    );
    const { writers } = await status(NAME);
    const primary = writers.find(({ leads }) => leads);
    await rows(primary!.url, 'create table waits (id int primary key)');
    await until('it to come to all', async () => {
      const counts = await Promise.all(
        started.writers.map(({ url }) => rows(url, 'select count(*) from waits').catch(() => null)),
      );
      return counts.every((one) => one !== null);
    });
  });

  test('while etcd is away commits wait; doctor and status say so; when it is back they go on', async () => {
    const url = started.writers[1]!.url;
    await etcd.kill();
    let isDone = false;
    const waiting = rows(url, 'insert into waits values (77)').finally(() => (isDone = true));
    waiting.catch(() => undefined);
    await until(
      'status to say so',
      async () => (await status(NAME)).store?.nodes[0]?.state === 'stopped',
      20_000,
    );
    const { checks } = await examine({ fix: false });
    expect(checks.find(({ name }) => name === `instance ${NAME}`)).toMatchObject({
      state: 'warning',
      detail: expect.stringContaining(
        `etcd 127.0.0.1:${etcd.port} is not well: connect ECONNREFUSED`,
      ) as string,
    });
    expect(isDone).toBe(false);
    const { outcome, error } = await scale(`${NAME}.w2`, 'medium', { deadlineMs: 3_000, holdBudgetMs: 100 });
    expect(outcome).toBe('rolled-back');
    expect(error?.message).toMatch(/has waited at its COMMIT for .* s for the log of the writers/);
    const told = await instanceEvents(`${NAME}.w2`, 0);
    const second = told.find(({ message }) => message.includes('drain: attempt 2'));
    expect(second?.message).toMatch(/attempt 2: waiting, since session .* has waited at its COMMIT/);
    await expect(runConflict(NAME, { scenes: ['hot-row'] })).rejects.toMatchObject({ code: 'DBP_ETCD_AWAY' });
    await etcd.start();
    await waiting;
    await until('the other writer to have it', async () => {
      return (await rows(started.writers[0]!.url, 'select id from waits')).length === 1;
    });
  }, 60_000);

  test('conflict whose etcd dies in the middle says so, long before its statements are given up', async () => {
    const ended = runConflict(NAME, { scenes: ['hot-row'], rounds: 5_000 }).then(
      () => null,
      (error: unknown) => error,
    );
    const url = started.writers[0]!.url;
    const lines = 'select 1 from dbproxy_conflict.ledger limit 1';
    await until(
      'it to be at work',
      async () => (await rows(url, lines).catch(() => [])).length === 1,
      30_000,
    );
    await etcd.kill();
    const diedMs = performance.now();
    expect(await ended).toMatchObject({ code: 'DBP_ETCD_AWAY' });
    // A statement of its clients waits for 30 s.
    expect(performance.now() - diedMs).toBeLessThan(25_000);
    await etcd.start();
    await until(
      'both to take commits again',
      async () => (await runConflict(NAME, { scenes: ['unique-key'] })).scenes[0]?.ok === true,
    );
  }, 120_000);

  test('down and up: it goes on where it was, with higher incarnations', async () => {
    await stopInstance(NAME);
    expect(await processesBelow(live.home)).toEqual([]);
    await startInstance({ name: NAME });
    const { storeDirectory } = InstanceDirectory.of(NAME).paths;
    const record = JSON.parse(await readFile(join(storeDirectory, 'incarnation-1.json'), 'utf8')) as object;
    expect(record).toMatchObject({ incarnation: expect.any(Number) as number });
    for (const { url } of started.writers) expect(await rows(url, 'select 1 as one')).toEqual([{ one: 1 }]);
  }, 120_000);

  test('another instance does not get its prefix', async () => {
    const asked = live.up('other', { writers: 2, store: etcd.url('/shop') });
    await expect(asked).rejects.toMatchObject({ code: 'DBP_ETCD_FOREIGN' });
  }, 60_000);

  test('where nobody answers, up says so', async () => {
    const store = `etcd://127.0.0.1:${await freePort()}/nobody`;
    const refused = live.up('nobody', { writers: 2, store });
    await expect(refused).rejects.toMatchObject({
      code: 'DBP_ETCD_AWAY',
      // There is no such instance now.
      suggestions: expect.not.arrayContaining(['dbproxy status']) as string[],
    });
  }, 60_000);

  test('purge removes all that it has below the prefix, and of nobody else', async () => {
    await etcd.withClient((client) => client.txn({ then: [{ put: '/shopping', value: 'mine' }] }));
    await stopInstance(NAME, { purge: true });
    expect(await etcd.keys('/shop')).toEqual([]);
    expect(await etcd.withClient(async (client) => (await client.get('/shopping')).found.length)).toBe(1);
  }, 60_000);
});
