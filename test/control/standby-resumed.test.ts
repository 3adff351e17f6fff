/** A supervisor dies while sessions wait for an engine, when that runs and is on record already: the next one lets them go on. */
import { access } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { InstanceDirectory } from '../../src/control/instance-directory.js';
import { value } from '../support/clients.js';
import { Pause } from '../support/pause.js';
import { useProvider } from '../support/provider.js';
import { events, killSupervisor, LiveHome, pausing, status, until } from './live.js';
import { childOf, connect, engineOf } from './with-standby.js';

// It looks at servers' processes and files; containers: docker-standby.test.ts.
useProvider('embedded');

const NAME = 'resumed';
const LONG_MS = 120_000;
let live: LiveHome;
let url: string;
beforeAll(async () => {
  live = await LiveHome.open();
  ({ url } = await live.up(NAME, { standby: 'async' }));
}, LONG_MS);
afterAll(() => live.close(), LONG_MS);

const isRead = (): Promise<void> =>
  until('the state was read', async () =>
    (await status(NAME)).sessions.some(({ stateKinds }) => stateKinds.includes('settings')),
  );
const record = () => InstanceDirectory.of(NAME).readInstance();

/** The next supervisor to see to the loss stops at that point. */
async function clientBefore(point: string) {
  (await pausing(NAME, new Pause(point, live.home))).close();
  const before = await status(NAME);
  const [old, standby] = [engineOf(before, 'primary')!, engineOf(before, 'standby')!];
  const connected = await connect(url);
  await connected.client.query(`set work_mem = '9MB'`);
  await isRead();
  return { ...connected, old, standby };
}

test(
  'one that was started again on its data, because the standby was lost, too',
  async () => {
    const { client, notices, old, standby } = await clientBefore('engine.restarted');
    for (const { pid } of [standby, old]) process.kill(pid!, 'SIGKILL');
    await until('it runs again, on record', async () => {
      const primary = (await record())?.engines.find(({ id }) => id === old.id);
      return primary?.process?.pid !== old.pid;
    });
    await killSupervisor(NAME);
    expect(engineOf(await status(NAME), 'primary')?.id).toBe(old.id);
    expect(await value(client, 'show work_mem')).toBe('9MB');
    expect(notices).toEqual([]);
    await client.end();
    await until(
      'there is a standby',
      async () => (await status(NAME)).standby?.state === 'streaming',
      60_000,
    );
  },
  LONG_MS,
);

test(
  'a standby that has taken over: sessions go on, and are told what may be lost; the old data is kept, and it is said where',
  async () => {
    const { client, details, old, standby } = await clientBefore('failover.recorded');
    await client.query('create table kept as select 1 as n');
    await until('the standby has it', async () => (await status(NAME)).standby?.lagBytes === 0);
    // From now on it gets nothing.
    process.kill(await childOf(old.pid!, 'walsender'), 'SIGSTOP');
    await client.query('insert into kept values (2)');
    process.kill(old.pid!, 'SIGKILL');
    await until('the new primary is on record', async () => (await record())?.primary === standby.id, 60_000);
    await killSupervisor(NAME);

    expect(engineOf(await status(NAME), 'primary')?.id).toBe(standby.id);
    expect(await value(client, 'show work_mem')).toBe('9MB');
    expect((await client.query('select n from kept')).rows).toEqual([{ n: 1 }]);
    const told = (await events(NAME)).filter(({ type }) => type === 'failover.completed');
    expect(told).toMatchObject([
      { data: { from: old.id, to: standby.id, mode: 'async', sessions: { moved: 1, failed: [] } } },
    ]);
    const { lostBytes, kept } = told[0]!.data!;
    expect(Number(lostBytes)).toBeGreaterThan(0);
    expect(details.join()).toContain(`at most ${String(lostBytes)} bytes of WAL`);
    await access(String(kept));
    expect((await record())?.failover).toBeUndefined();
    await client.end();
  },
  LONG_MS,
);
