/** Several writers as processes: started, found again, repaired after kill -9 of any of them, and gone after `down`. */
import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StatusResult, UpResult } from '../../src/control/api.js';
import { instanceLogs, startInstance, stopInstance } from '../../src/control/client.js';
import { examine } from '../../src/control/doctor.js';
import { InstanceDirectory } from '../../src/control/instance-directory.js';
import { adminQuery } from '../../src/engine/index.js';
import {
  freePort,
  isRunning,
  killSupervisor,
  LiveHome,
  pidOf,
  processesBelow,
  status,
  until,
} from './live.js';
import { rows } from './multiwriter-work.js';
import { useProvider } from '../support/provider.js';

// By the processes of its engines, too; containers have tests of their own (docker-writers.test.ts).
useProvider('embedded');

const NAME = 'shop';
const SECOND = 'shop.w2';
let live: LiveHome;
let started: UpResult;

beforeAll(async () => {
  live = await LiveHome.open();
  started = await live.up(NAME, { writers: 2 });
}, 120_000);
afterAll(() => live.close());

const isWell = ({ state, writers, store }: StatusResult): boolean =>
  state === 'running' &&
  writers.every((writer) => writer.state === 'running') &&
  (store?.nodes.every((node) => node.state === 'in-service') ?? false);

/** Without anybody's help, or with that of the command that asks. */
const untilWell = async (): Promise<StatusResult> => {
  await until('everything runs', async () => isWell(await status(NAME)), 60_000);
  return status(NAME);
};

const nodePid = async (id: string): Promise<number> =>
  (await status(NAME)).store?.nodes.find((node) => node.id === id)?.pid ?? 0;
const proxyPid = async (name: string): Promise<number> =>
  (await InstanceDirectory.of(name).readProxy())?.process.pid ?? 0;
const enginePid = async (name: string): Promise<number> => {
  const record = await InstanceDirectory.of(name).readInstance();
  return record?.engines.find(({ id }) => id === record.primary)?.process?.pid ?? 0;
};

/** What a client of a writer that does not lead is told when it changes definitions, and the URL that it ought to be. */
async function whereDefinitionsGo(): Promise<{ hint: unknown; url: string }> {
  const { writers } = await untilWell();
  const [primary] = writers.filter(({ leads }) => leads);
  const refused = await rows(
    writers.find(({ leads }) => !leads)!.url,
    'create table elsewhere (id int primary key)',
  ).catch((error: unknown) => error as pg.DatabaseError);
  expect(refused).toMatchObject({ code: '0A000' });
  const hint = (refused as pg.DatabaseError).hint;
  return { hint, url: `That is writer ${primary!.id}: postgres://127.0.0.1:${primary!.port}/postgres` };
}

describe('up', () => {
  test('two writers, each with an engine and a port of its own, and three storage nodes', async () => {
    expect(started.writers).toMatchObject([
      { id: 'w1', instance: NAME, port: started.port, url: started.url },
      { id: 'w2', instance: SECOND },
    ]);
    expect(new Set(started.writers.map(({ port }) => port)).size).toBe(2);
    const { store, writers } = await untilWell();
    expect(store).toMatchObject({ quorums: { nodes: 3, fast: 3, classic: 2 }, policy: 'first' });
    expect(store?.nodes.map(({ id }) => id)).toEqual(['s1', 's2', 's3']);
    expect(writers.map(({ engine }) => engine)).toEqual(['e1', 'e2001']);
    for (const { url } of started.writers) expect(await rows(url, 'select 1 as one')).toEqual([{ one: 1 }]);
  });

  test('again: they run already, with the same settings', async () => {
    const again = await startInstance({ name: NAME, writers: 2, storageNodes: '3' });
    expect(again).toMatchObject({ alreadyRunning: true, writers: started.writers, engines: started.engines });
    await expect(startInstance({ name: NAME, writers: 3 })).rejects.toMatchObject({
      code: 'DBP_INSTANCE_SETTINGS_DIFFER',
    });
  });

  test('definitions elsewhere than at the primary: the hint has its URL, without a password', async () => {
    const { hint, url } = await whereDefinitionsGo();
    expect(hint).toBe(url);
  });

  test('leaves no replication slot on the engine that was copied', async () => {
    const record = await InstanceDirectory.of(NAME).readInstance();
    const slots = await adminQuery(record!.engines[0]!, 'select slot_name from pg_replication_slots');
    expect(slots).toEqual([]);
  });

  test('of a writer by its own name finds it; of one that there is not is refused', async () => {
    expect(await startInstance({ name: SECOND })).toMatchObject({ alreadyRunning: true, instance: SECOND });
    await expect(startInstance({ name: 'shop.w3' })).rejects.toMatchObject({ code: 'DBP_USAGE' });
    await expect(startInstance({ name: 'other.w2' })).rejects.toMatchObject({ code: 'DBP_USAGE' });
    await expect(status('shop.w3')).rejects.toMatchObject({ code: 'DBP_WRITERS_UNKNOWN' });
  });
});

describe('quorums that could lose an acknowledged commit', () => {
  test.each(['3/2/2', '6/4/3', '6/4/4', '2/1/2'])(
    '%s is refused, and nothing is made',
    async (storageNodes) => {
      const asked = startInstance({ name: 'unsafe', writers: 2, storageNodes });
      await expect(asked).rejects.toMatchObject({ code: 'DBP_STORE_QUORUMS', exitCode: 2 });
      await expect(access(InstanceDirectory.of('unsafe').paths.directory)).rejects.toThrow('ENOENT');
    },
  );
});

describe('kill -9', () => {
  const victims: readonly [string, () => Promise<number>][] = [
    ['a storage node', () => nodePid('s2')],
    ['the supervisor of the second writer', () => pidOf(SECOND)],
    ['the proxy of the second writer', () => proxyPid(SECOND)],
    ['the engine of the second writer', () => enginePid(SECOND)],
    ['the proxy of the first writer', () => proxyPid(NAME)],
    ['the engine of the first writer', () => enginePid(NAME)],
    ['the supervisor of the first writer', () => pidOf(NAME)],
  ];
  test.each(victims)('of %s: it is there again', async (_what, find) => {
    const pid = await find();
    expect(pid).toBeGreaterThan(0);
    process.kill(pid, 'SIGKILL');
    await until('it is gone', () => !isRunning(pid));
    // Whoever notices it first; a dead supervisor of the first writer, the command that asks.
    await until('another one runs', async () => isWell(await status(NAME)) && (await find()) !== pid, 60_000);
    for (const { url } of started.writers) expect(await rows(url, 'select 1 as one')).toEqual([{ one: 1 }]);
  });

  test('a storage node that hangs does not vote: doctor names it, and it has a log', async () => {
    const pid = await nodePid('s2');
    process.kill(pid, 'SIGSTOP');
    try {
      const { checks } = await examine({ fix: false });
      const found = checks.filter(({ name }) => name.startsWith('instance'));
      expect(found).toEqual([
        {
          ...{
            name: `instance ${NAME}`,
            state: 'warning',
            advice: expect.stringContaining('logs s2') as string,
          },
          detail: `storage node s2 does not vote: process ${pid} does not answer`,
        },
      ]);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    await untilWell();
    expect((await instanceLogs(NAME)).map(({ name }) => name)).toContain('s2');
  });

  test('of all supervisors and nodes at once: up brings back what is missing, down leaves nothing', async () => {
    const pids = await Promise.all([pidOf(NAME), pidOf(SECOND), nodePid('s1'), nodePid('s2'), nodePid('s3')]);
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    await until('they are gone', () => !pids.some(isRunning));
    await startInstance({ name: NAME });
    await untilWell();
    const again = await Promise.all([pidOf(NAME), pidOf(SECOND), nodePid('s1')]);
    for (const pid of again) process.kill(pid, 'SIGKILL');
    await until('they are gone', () => !again.some(isRunning));
    await stopInstance(NAME);
    expect(await processesBelow(live.home)).toEqual([]);
  });
});

describe('down and up', () => {
  test('a writer that was stopped stays so, until its instance is brought up', async () => {
    await startInstance({ name: NAME });
    await stopInstance(SECOND);
    expect((await status(NAME)).writers.map(({ state }) => state)).toEqual(['running', 'stopped']);
    const { writers } = await startInstance({ name: NAME });
    expect(writers).toEqual(started.writers);
    await untilWell();
  });

  test('on another port: the hint of the other writers has the new one', async () => {
    await stopInstance(NAME);
    const port = await freePort();
    started = await startInstance({ name: NAME, port });
    const { hint, url } = await whereDefinitionsGo();
    expect(url).toContain(`:${port}/`);
    expect(hint).toBe(url);
  });

  test('incarnations and epochs only go up', async () => {
    const { storeDirectory } = InstanceDirectory.of(NAME).paths;
    const read = async (file: string): Promise<{ incarnation?: number; epoch?: number }> =>
      JSON.parse(await readFile(join(storeDirectory, file), 'utf8')) as object;
    const before = await read('incarnation-1.json');
    await stopInstance(NAME);
    expect(await processesBelow(live.home)).toEqual([]);
    await startInstance({ name: NAME });
    expect((await read('incarnation-1.json')).incarnation).toBe((before.incarnation ?? 0) + 1);
  });

  test('one more writer, while it is down; fewer, or other storage nodes, are refused', async () => {
    await stopInstance(NAME);
    await expect(startInstance({ name: NAME, writers: 1 })).rejects.toMatchObject({ code: 'DBP_USAGE' });
    await expect(startInstance({ name: NAME, storageNodes: '5' })).rejects.toMatchObject({
      code: 'DBP_USAGE',
    });
    const { writers } = await startInstance({ name: NAME, writers: 3 });
    expect(writers.map(({ instance }) => instance)).toEqual([NAME, SECOND, 'shop.w3']);
    await untilWell();
  });

  test('purge takes all of them', async () => {
    expect(await stopInstance(NAME, { purge: true })).toMatchObject({ purged: true });
    expect(await processesBelow(live.home)).toEqual([]);
    for (const name of [NAME, SECOND, 'shop.w3'])
      await expect(access(InstanceDirectory.of(name).paths.directory)).rejects.toThrow('ENOENT');
  });
});

test('a copy whose supervisors were killed in the middle of it is made anew, and leaves nothing', async () => {
  const port = await freePort();
  const starting = live.up('torn', { writers: 2, port }).catch((error: unknown) => error);
  const copy = join(InstanceDirectory.of('torn.w2').paths.enginesDirectory, 'e2001', 'data');
  const exists = (): Promise<boolean> =>
    access(copy).then(
      () => true,
      () => false,
    );
  await until('the copy has begun', exists, 60_000);
  await killSupervisor('torn.w2');
  await killSupervisor('torn');
  await starting;
  const { writers } = await live.up('torn', { writers: 2 });
  expect(writers).toHaveLength(2);
  const record = await InstanceDirectory.of('torn').readInstance();
  expect(await adminQuery(record!.engines[0]!, 'select slot_name from pg_replication_slots')).toEqual([]);
  const second = await InstanceDirectory.of('torn.w2').readInstance();
  expect(second?.engines.map(({ id }) => id)).toEqual([second?.primary]);
  await expect(access(copy).then(() => second?.primary)).rejects.toThrow('ENOENT');
});
