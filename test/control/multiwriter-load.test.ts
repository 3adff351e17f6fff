/** Several writers under load: the primary dies, one of them is scaled, storage nodes lose their disk or their memory. */
import { execFileSync } from 'node:child_process';
import { cp, mkdir, rm } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { UpResult } from '../../src/control/api.js';
import { startInstance, stopInstance } from '../../src/control/client.js';
import { InstanceDirectory } from '../../src/control/instance-directory.js';
import { instancePaths } from '../../src/control/paths.js';
import { isRunning, LiveHome, patch, scale, status, until } from './live.js';
import { HotRow, once, rows } from './multiwriter-work.js';

const NAME = 'load';
const SECOND = 'load.w2';
let live: LiveHome;
let up: UpResult;
let urls: string[];

beforeAll(async () => {
  live = await LiveHome.open();
  up = await live.up(NAME, { writers: 2 });
  urls = up.writers.map(({ url }) => url);
}, 120_000);
afterAll(() => live.close());

const proxyPid = async (name: string): Promise<number> =>
  (await InstanceDirectory.of(name).readProxy())?.process.pid ?? 0;

const primaryUrl = async (): Promise<string> =>
  (await status(NAME)).writers.find(({ leads }) => leads)?.url ?? '';

async function startLoad(): Promise<HotRow> {
  const load = await HotRow.start([...urls, ...urls], await primaryUrl());
  onTestFinished(() => load.stop());
  return load;
}

/** Where other tests keep the machine busy, the wait for a moment without a transaction is long: that is not what is tested. */
const PATIENT = { holdBudgetMs: 3_000, deadlineMs: 60_000 };

test('the primary is killed: another writer leads with a new epoch, and the hot row counts every commit once', async () => {
  const before = await status(NAME);
  const leader = before.writers.find(({ leads }) => leads);
  expect(leader?.id).toBe('w1');
  const load = await startLoad();
  await Promise.all(urls.map((url) => load.progressed(url)));
  const pid = await proxyPid(NAME);
  process.kill(pid, 'SIGKILL');
  await until('it is gone', () => !isRunning(pid));
  await until('another one leads', async () => {
    const { writers, store } = await status(NAME);
    return writers.some(({ leads }) => leads) && (store?.epoch ?? 0) > (before.store?.epoch ?? 0);
  });
  await Promise.all(urls.map((url) => load.progressed(url)));
  expect(await load.expectExact(urls)).toBeGreaterThan(0);
}, 180_000);

const leaderOf = async (): Promise<{ pid: number; epoch: number; id: string }> => {
  const { writers, store } = await status(NAME);
  const leader = writers.find(({ leads }) => leads);
  return { pid: await proxyPid(leader!.instance), epoch: store!.epoch, id: leader!.id };
};

test('the primary is silent: not for so long that it may be busy with one commit does another writer lead', async () => {
  const before = await leaderOf();
  onTestFinished(() => void process.kill(before.pid, 'SIGCONT'));
  process.kill(before.pid, 'SIGSTOP');
  // As long as a commit of very many rows on a busy machine.
  await delay(5_000);
  process.kill(before.pid, 'SIGCONT');
  await once(await primaryUrl(), ['create table if not exists after_silence (id int primary key)']);
  expect(await leaderOf()).toEqual(before);

  process.kill(before.pid, 'SIGSTOP');
  await until('another one leads', async () => (await leaderOf()).id !== before.id, 30_000);
  process.kill(before.pid, 'SIGCONT');
  await until('all is well', async () =>
    (await status(NAME)).writers.every(({ state }) => state === 'running'),
  );
}, 120_000);

test('a writer is scaled and patched while both write: no connection breaks, no commit is lost', async () => {
  const load = await startLoad();
  await Promise.all(urls.map((url) => load.progressed(url)));
  expect(await scale(SECOND, 'medium', PATIENT)).toMatchObject({
    outcome: 'completed',
    error: null,
  });
  await Promise.all(urls.map((url) => load.progressed(url)));
  const version = up.engines[0]!.postgres;
  const patched = await patch(SECOND, version, { size: 'large', ...PATIENT });
  expect(patched).toMatchObject({ outcome: 'completed', error: null, sessions: { failed: [], dropped: 0 } });
  await Promise.all(urls.map((url) => load.progressed(url)));
  await load.expectExact(urls);
  expect(load.disconnects).toBe(0);
}, 180_000);

describe('a storage node', () => {
  test("with yesterday's data does not vote; status says why, the others go on", async () => {
    const { storeDirectory } = InstanceDirectory.of(NAME).paths;
    const [data, old] = [join(storeDirectory, 's1'), join(live.home, 's1.old')];
    await stopInstance(NAME);
    await cp(data, old, { recursive: true });
    await startInstance({ name: NAME });
    await once(urls[0]!, ['update hot set n = n + 1 where id = 1', 'update hot set n = n + 1 where id = 1']);
    // The peers hear of a position within a tick.
    await until('the peers know how far it is', async () => {
      const { store } = await status(NAME);
      return new Set(store?.nodes.map(({ undecided }) => undecided)).size === 1;
    });
    await stopInstance(NAME);
    await rm(data, { recursive: true });
    await cp(old, data, { recursive: true });
    await startInstance({ name: NAME });
    await until('it is refused', async () => {
      const node = (await status(NAME)).store?.nodes[0];
      return node?.state === 'stopped' && (node.reason ?? '').includes('DBP_STORE_OLD_DATA');
    });
    await once(urls[1]!, ['update hot set n = n + 1 where id = 1']);
  }, 180_000);

  const canMount = userInfo().uid === 0 && process.platform === 'linux';
  test.skipIf(!canMount)(
    'with a full disk is out of service, with the reason; commits go on',
    async () => {
      const { storeDirectory } = instancePaths('full');
      const disk = join(storeDirectory, 's3');
      await mkdir(disk, { recursive: true });
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=3m,mode=0700', 'tmpfs', disk]);
      try {
        const { writers } = await live.up('full', { writers: 2 });
        const url = writers[0]!.url;
        await once(url, ['create table big (id int primary key, body text)']);
        for (let id = 0; id < 60; id++)
          await once(url, [
            `insert into big select ${id}, string_agg(md5(g::text), '') from generate_series(1, 3000) g`,
          ]);
        await until('it says that its disk is full', async () => {
          const node = (await status('full')).store?.nodes[2];
          return node?.state === 'out-of-service' && /ENOSPC|no space/i.test(node.reason ?? '');
        });
        await once(writers[1]!.url, [`insert into big values (1000, 'x')`]);
        await until('both have all of it', async () => {
          const counts = await Promise.all(
            writers.map((each) => rows(each.url, 'select count(*)::int as n from big')),
          );
          return counts.every(([row]) => row?.['n'] === 61);
        });
      } finally {
        await stopInstance('full');
        execFileSync('umount', [disk]);
      }
    },
    180_000,
  );
});
