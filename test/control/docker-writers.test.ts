/** Several writers whose engines are containers: copies of each other on one network, and all gone with the instance. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startInstance, stopInstance } from '../../src/control/client.js';
import { InstanceDirectory } from '../../src/control/instance-directory.js';
import { withAdmin } from '../../src/engine/index.js';
import { docker, hasDocker, IMAGE, leftOf } from '../support/docker/index.js';
import { LiveHome, scale, status, until } from './live.js';
import { HotRow, rows } from './multiwriter-work.js';

const NAME = 'shop';
const SECOND = 'shop.w2';
const LONG_MS = 180_000;

describe.skipIf(!hasDocker)('several writers in containers', () => {
  let live: LiveHome;
  let urls: readonly [string, string];
  beforeAll(async () => {
    live = await LiveHome.open();
    const up = await live.up(NAME, { writers: 2, provider: 'docker', image: IMAGE });
    expect(up.provider).toBe('docker');
    urls = [up.writers[0]!.url, up.writers[1]!.url];
  }, LONG_MS);
  afterAll(async () => {
    await live.close();
    expect(leftOf(live.home)).toEqual([]);
  }, LONG_MS);

  const engineOf = async (name: string) => {
    const record = (await InstanceDirectory.of(name).readInstance())!;
    return record.engines.find(({ id }) => id === record.primary)!;
  };
  const isWell = async (): Promise<boolean> =>
    (await status(NAME)).writers.every(({ state, reason }) => state === 'running' && reason === null);

  test(
    'one of them is scaled while both write one row',
    async () => {
      const row = await HotRow.start(urls, urls[0]);
      for (const url of urls) await row.progressed(url);
      expect(await scale(SECOND, 'medium')).toMatchObject({
        outcome: 'completed',
        to: { provider: 'docker' },
      });
      for (const url of urls) await row.progressed(url);
      expect(await row.expectExact(urls)).toBeGreaterThan(0);
    },
    LONG_MS,
  );

  test(
    'a container that is killed comes back with what both have written',
    async () => {
      const row = await HotRow.start([urls[0]], urls[0]);
      await row.progressed(urls[0]);
      await docker('kill', (await engineOf(SECOND)).container!.name);
      await row.progressed(urls[0]);
      await until('both are well', isWell, 60_000);
      expect(await row.expectExact(urls)).toBeGreaterThan(0);
    },
    LONG_MS,
  );

  test(
    'the first one is built again from the second',
    async () => {
      await rows(urls[0], 'create table t (id int primary key, n int not null)');
      await rows(urls[0], 'insert into t values (1, 0)');
      await until(
        'the row is on both',
        async () => (await rows(urls[1], 'table t').catch(() => [])).length === 1,
      );
      await withAdmin(await engineOf(NAME), async (query) => {
        await query('set session authorization dbproxy_apply');
        await query('delete from public.t');
      });
      await rows(urls[1], 'update t set n = 1');
      await until('it has stopped', async () => !(await isWell()));
      await startInstance({ name: NAME });
      await until('both are well', isWell, 60_000);
      expect((await engineOf(NAME)).container!.name).toMatch(/^dbproxy-shop-[0-9a-f]{8}-e2$/);
      await rows(urls[0], 'update t set n = n + 1');
      await until('they are equal', async () => (await rows(urls[1], 'table t'))[0]?.['n'] === 2);
    },
    LONG_MS,
  );

  test(
    'down leaves their volumes, up finds them, and purge nothing',
    async () => {
      await stopInstance(NAME);
      expect(leftOf(live.home)).toHaveLength(2);
      await startInstance({ name: NAME });
      await until('both are well', isWell, 60_000);
      expect((await rows(urls[1], 'table t'))[0]?.['n']).toBe(2);
      await stopInstance(NAME, { purge: true });
      expect(leftOf(live.home)).toEqual([]);
    },
    LONG_MS,
  );
});
