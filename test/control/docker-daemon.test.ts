/** The container runtime dies, with engines in it. A runtime of the test's own, so that it may. */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { stopInstance } from '../../src/control/client.js';
import { value } from '../support/clients.js';
import { canStartDaemon, OwnDaemon } from '../support/docker/daemon.js';
import { IMAGE } from '../support/docker/index.js';
import { Pause } from '../support/pause.js';
import { events, LiveHome, pausing, SCALE, status, until, Writer } from './live.js';

const LONG_MS = 240_000;
const CONTAINERS = { provider: 'docker', image: IMAGE } as const;

describe.skipIf(!canStartDaemon)('the container runtime dies', () => {
  let live: LiveHome;
  let daemon: OwnDaemon;
  beforeAll(async () => {
    daemon = await OwnDaemon.open();
    vi.stubEnv('DOCKER_HOST', daemon.host);
    live = await LiveHome.open();
  }, LONG_MS);
  afterAll(async () => {
    await live.close().finally(() => daemon.close());
    vi.unstubAllEnvs();
  }, LONG_MS);

  test.each(['standby', 'resize'] as const)(
    'in the middle of a scale (%s): it says so; back again, the size is one of the two, and nothing that was committed is lost',
    async (strategy) => {
      const name = `dies-${strategy}`;
      const { url } = await live.up(name, CONTAINERS);
      const writer = await Writer.start(url);
      await writer.progressed();
      const pause = new Pause(strategy === 'standby' ? 'warm' : 'provision', live.home);
      const supervisor = await pausing(name, pause);
      const scaling = supervisor
        .call('scale', { ...SCALE, to: 'large', strategy })
        .catch((error: unknown) => error);
      await pause.reached(120_000);
      await daemon.die();
      await pause.goOn();
      const record = (await scaling) as Awaited<ReturnType<typeof supervisor.call<'scale'>>>;
      expect(record).toMatchObject({
        outcome: 'rolled-back',
        to: { size: strategy === 'resize' ? 'small' : 'large' },
      });
      expect(record.error?.code).toMatch(
        strategy === 'resize' ? /^DBP_ENV_DOCKER$/ : /^DBP_(ENV_DOCKER|SWITCH_ROLLED_BACK)$/,
      );
      await until(
        'the supervisor says what it waits for',
        async () =>
          (await events(name)).some(({ message }) => /not repaired yet: no container runtime/.test(message)),
        60_000,
      );
      supervisor.close();

      await daemon.start();
      await until('it serves again', async () => (await status(name)).state === 'running', 120_000);
      expect((await status(name)).engines).toMatchObject([{ id: 'e1', size: 'small', state: 'running' }]);
      const client = new pg.Client({ connectionString: url });
      await client.connect();
      // The last one may have been committed without its answer.
      const rows = Number(await value(client, 'select count(*)::int from written'));
      expect([writer.acknowledged, writer.acknowledged + 1]).toContain(rows);
      await client.end();
      await stopInstance(name, { purge: true });
      expect(await daemon.docker('volume', 'ls', '--quiet', '--filter', 'label=dbproxy.directory')).toBe('');
    },
    LONG_MS,
  );
});
