/** `up --standby` off the beaten track: the standby is lost, too; patches and resizes; many sessions; it is not wanted any more. */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stopInstance } from '../../src/control/client.js';
import { InstanceDirectory } from '../../src/control/instance-directory.js';
import { replaceSelf } from '../../src/control/replace-self.js';
import { value, withPg } from '../support/clients.js';
import { cacheWithBoth, NEWER, OLDER } from '../support/versions.js';
import { useProvider } from '../support/provider.js';
import { events, LiveHome, patch, scale, status, until } from './live.js';
import { connect, engineOf } from './with-standby.js';

// It looks at servers' processes and files; containers: docker-standby.test.ts.
useProvider('embedded');

const NAME = 'paths';
const LONG_MS = 120_000;
let live: LiveHome;
let url: string;
beforeAll(async () => {
  live = await LiveHome.open();
  await cacheWithBoth(live.home);
  ({ url } = await live.up(NAME, { standby: 'async', postgres: OLDER }));
}, LONG_MS);
afterAll(() => live.close());

const paths = () => InstanceDirectory.of(NAME).paths;
const pidOf = async (role: string): Promise<number> => engineOf(await status(NAME), role)!.pid!;
const countOf = async (wanted: string): Promise<number> =>
  (await events(NAME)).filter(({ type }) => type === wanted).length;
/** Resolves when `noticed` is an event: until then backends that have not seen the end of their engine may still answer. */
async function endPrimary(
  noticed: 'failover.started' | 'engine.started',
  ...first: readonly number[]
): Promise<void> {
  const before = await countOf(noticed);
  for (const pid of [...first, await pidOf('primary')]) process.kill(pid, 'SIGKILL');
  await until(noticed, async () => (await countOf(noticed)) > before);
}
const failovers = (): Promise<number> => countOf('failover.completed');
/** A standby of the primary that is one now, and what it is: `e2 small 17.9`. */
async function follows(): Promise<string> {
  await until('a standby streams', async () => (await status(NAME)).standby?.state === 'streaming', 60_000);
  const { id, size, postgres } = engineOf(await status(NAME), 'standby')!;
  return `${id} ${size} ${postgres}`;
}
/** Its state has been read: what would be restored now is what it has. */
const isRead = (): Promise<void> =>
  until('the session was read', async () =>
    (await status(NAME)).sessions.some(({ stateKinds }) => stateKinds.includes('customSettings')),
  );

describe('the standby is lost', () => {
  test(
    'it is started again; one without its data is made anew',
    async () => {
      const first = await follows();
      process.kill(await pidOf('standby'), 'SIGKILL');
      await until('it is told', async () => (await events(NAME)).some(({ type }) => type === 'standby.lost'));
      expect(await follows()).toBe(first);

      await rm(join(engineDirectory(first), 'data', 'global'), { recursive: true });
      process.kill(await pidOf('standby'), 'SIGKILL');
      await until(
        'there is another one',
        async () => {
          const standby = engineOf(await status(NAME), 'standby');
          return standby !== undefined && standby.id !== first.split(' ')[0];
        },
        60_000,
      );
      expect(await follows()).not.toBe(first);
      expect((await readdir(paths().enginesDirectory)).length).toBe(2);
    },
    LONG_MS,
  );

  test(
    'and then the engine dies: it is started again on its data, and its sessions go on there',
    async () => {
      const standby = await follows();
      const before = await failovers();
      const { client, notices } = await connect(url);
      await client.query('create table stays as select 1 as n');
      await client.query(`set app.kept = 'yes'`);
      await isRead();
      const primary = engineOf(await status(NAME), 'primary')!;
      // It must not be there again before the engine is looked at: then it would take over.
      await rm(join(engineDirectory(standby), 'data', 'global'), { recursive: true });
      await endPrimary('engine.started', await pidOf('standby'));
      expect(await value(client, 'show app.kept')).toBe('yes');
      expect(await value(client, 'select n from stays')).toBe(1);
      expect(notices).toEqual([]);
      expect(engineOf(await status(NAME), 'primary')?.id).toBe(primary.id);
      expect(await failovers()).toBe(before);
      await client.end();
      await follows();
    },
    LONG_MS,
  );
});

describe('operations', () => {
  test.each([
    ['patch, in place', () => patch(NAME, NEWER, { strategy: 'in-place' }), `small ${NEWER}`],
    ['patch', () => patch(NAME, OLDER), `small ${OLDER}`],
    ['a resize', () => scale(NAME, 'medium', { strategy: 'resize' }), `medium ${OLDER}`],
  ] as const)(
    '%s: the sessions go on, and the standby becomes what its primary is',
    async (_what, operate, wanted) => {
      await follows();
      const { client } = await connect(url);
      await client.query(`set app.kept = 'yes'`);
      const record = await operate();
      expect(record).toMatchObject({ outcome: 'completed', error: null });
      expect(await value(client, 'show app.kept')).toBe('yes');
      await until(
        'the standby is the same',
        async () => {
          const standby = engineOf(await status(NAME), 'standby');
          return standby !== undefined && `${standby.size} ${standby.postgres}` === wanted;
        },
        60_000,
      );
      expect((await follows()).split(' ').slice(1).join(' ')).toBe(wanted);
      await client.end();
    },
    LONG_MS,
  );

  test(
    'patch --self: the new proxy keeps the sessions, too',
    async () => {
      const before = await failovers();
      const { client } = await connect(url);
      await client.query(`set app.kept = 'yes'`);
      await replaceSelf(NAME, () => undefined);
      await follows();
      await isRead();
      await endPrimary('failover.started');
      expect(await value(client, 'show app.kept')).toBe('yes');
      await until('it is on record', async () => (await failovers()) === before + 1);
      await client.end();
    },
    LONG_MS,
  );
});

test(
  '100 sessions: each gets back what was its own',
  async () => {
    await follows();
    const before = await failovers();
    const clients = await Promise.all(Array.from({ length: 100 }, () => connect(url)));
    await Promise.all(
      clients.map(async ({ client }, n) => {
        await client.query(`set app.number = '${n}'`);
        await client.query({ name: 'mine', text: `select ${n} + $1::int as n`, values: [0] });
      }),
    );
    await until('all were read', async () => {
      const { sessions } = await status(NAME);
      return sessions.filter(({ stateKinds }) => stateKinds.includes('preparedStatements')).length >= 100;
    });
    await endPrimary('failover.started');
    const numbers = await Promise.all(
      clients.map(async ({ client }) => {
        const { rows } = await client.query<{ n: number }>({ name: 'mine', text: '', values: [1] });
        return `${String(await value(client, 'show app.number'))} ${rows[0]?.n}`;
      }),
    );
    expect(numbers).toEqual(clients.map((_, n) => `${n} ${n + 1}`));
    await until('it is on record', async () => (await failovers()) === before + 1);
    const record = (await events(NAME)).findLast(({ type }) => type === 'failover.completed')?.data;
    expect(record).toMatchObject({ sessions: { total: 100, moved: 100, failed: [] }, lost: [] });
    await Promise.all(clients.map(({ client }) => client.end()));
  },
  LONG_MS,
);

test(
  'up --no-standby, after a down: it is gone, with its data and its slot',
  async () => {
    await follows();
    await stopInstance(NAME);
    await live.up(NAME, { standby: 'off' });
    const { engines, standby } = await status(NAME);
    expect(engines.map(({ role }) => role)).toEqual(['primary']);
    expect(standby).toBeNull();
    expect(await readdir(paths().enginesDirectory)).toEqual([engines[0]!.id]);
    await withPg(url, async (client) => {
      expect(await value(client, 'select count(*)::int from pg_replication_slots')).toBe(0);
      // Nobody waits for a standby that is not there.
      expect(await value(client, 'show synchronous_standby_names')).toBe('');
    });
  },
  LONG_MS,
);

const engineDirectory = (described: string): string =>
  join(paths().enginesDirectory, described.split(' ')[0] ?? '');
