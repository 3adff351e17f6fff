/** `patch` of an instance whose engines are containers: two images with different minors of one major. */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startInstance, stopInstance } from '../../src/control/client.js';
import { value } from '../support/clients.js';
import { docker, hasOlder, IMAGE, leftOf } from '../support/docker/index.js';
import { Pause } from '../support/pause.js';
import { NEWER, OLDER } from '../support/versions.js';
import { killSupervisor, LiveHome, patch, pausing, SCALE, status, Writer } from './live.js';

const LONG_MS = 240_000;

describe.skipIf(!hasOlder)('patch of containers', () => {
  let live: LiveHome;
  beforeAll(async () => void (live = await LiveHome.open()));
  afterAll(async () => {
    await live.close();
    expect(leftOf(live.home)).toEqual([]);
  }, LONG_MS);

  test.each(['standby', 'in-place'] as const)(
    '%s: to the newer image and back, every session and what it holds comes along; up starts what ran last',
    async (strategy) => {
      const { url } = await live.up(strategy, { provider: 'docker', image: IMAGE, postgres: OLDER });
      const writer = await Writer.start(url);
      const session = new pg.Client({ connectionString: url });
      await session.connect();
      await session.query(`create temp table held as select 7 as n; set work_mem = '9MB'`);
      for (const to of [NEWER, OLDER]) {
        const record = await patch(strategy, to, { strategy, holdBudgetMs: 5_000, deadlineMs: 120_000 });
        expect(record).toMatchObject({
          ...{ outcome: 'completed', strategy, error: null },
          to: { provider: 'docker', postgres: to, size: 'small' },
          sessions: { total: 2, moved: 2, failed: [] },
        });
        expect(record.from.engine === record.to.engine).toBe(strategy === 'in-place');
        expect(await value(session, 'show server_version')).toBe(to);
        expect(await value(session, `select n || current_setting('work_mem') from held`)).toBe('79MB');
        const [engine, ...others] = (await status(strategy)).engines;
        expect([engine?.postgres, others]).toEqual([to, []]);
        const image = await docker('inspect', '--format', '{{.Image}}', engine?.container ?? '');
        expect(image).toBe(await docker('inspect', '--format', '{{.Id}}', `${IMAGE}:${to}`));
        await writer.progressed();
      }
      await session.end();
      expect(await writer.finish()).toBeGreaterThan(10);
      await stopInstance(strategy);
      const back = await startInstance({ name: strategy });
      expect(back.engines).toMatchObject([{ postgres: OLDER }]);
      expect(await Writer.count(back.url)).toBeGreaterThan(10);
      await stopInstance(strategy, { purge: true });
    },
    LONG_MS,
  );

  test.each(['catchup', 'promote'] as const)(
    'in-place, its supervisor killed at %s: the image that ran before is the one that runs, now and after down',
    async (step) => {
      const name = `killed-${step}`;
      await live.up(name, { provider: 'docker', image: IMAGE, postgres: OLDER });
      const pause = new Pause(step, live.home);
      const supervisor = await pausing(name, pause);
      const ended = supervisor
        .call('patch', { ...SCALE, strategy: 'in-place', to: NEWER })
        .catch((error: unknown) => error)
        .finally(() => supervisor.close());
      await pause.reached();
      await killSupervisor(name);
      await ended;
      const runs = async (): Promise<string> => {
        const { container } = (await status(name)).engines[0]!;
        return docker('inspect', '--format', '{{.Image}}', container!);
      };
      const older = await docker('inspect', '--format', '{{.Id}}', `${IMAGE}:${OLDER}`);
      expect(await runs()).toBe(older);
      await stopInstance(name);
      const { engines } = await startInstance({ name });
      expect(engines).toMatchObject([{ postgres: OLDER }]);
      expect(await runs()).toBe(older);
      await stopInstance(name, { purge: true });
    },
    LONG_MS,
  );
});
