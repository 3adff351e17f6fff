/** `patch` with the real supervisor, proxy and two versions of PostgreSQL, under a load that would notice. */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stopInstance } from '../../src/control/client.js';
import { addBroken, BROKEN } from '../support/broken-version.js';
import { value } from '../support/clients.js';
import { Pause } from '../support/pause.js';
import { engineKind } from '../support/provider.js';
import { cacheWithBoth, NEWER, OLDER } from '../support/versions.js';
import {
  crashEngine,
  LiveHome,
  Load,
  patch,
  pausing,
  processesBelow,
  SCALE,
  status,
  Writer,
} from './live.js';

const NAME = 'patch';
let live: LiveHome;
let cache: string;
let url: string;
beforeAll(async () => {
  live = await LiveHome.open();
  cache = await cacheWithBoth(live.home);
  ({ url } = await live.up(NAME, { postgres: OLDER }));
});
afterAll(() => live.close());

const engines = async (): Promise<string[]> =>
  (await status(NAME)).engines.map(
    ({ role, size, postgres, state }) => `${role} ${size} ${postgres} ${state}`,
  );

async function connect(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return client;
}

describe.each(['standby', 'in-place'] as const)('%s', (strategy) => {
  test('up, down and up with another size, under TPC-B-like load: no error, an exact ledger', async () => {
    await patch(NAME, OLDER, { size: 'small' });
    const load = await Load.start(url, 2);
    for (const [from, to, size] of [
      [OLDER, NEWER, 'small'],
      [NEWER, OLDER, 'small'],
      [OLDER, NEWER, 'medium'],
    ] as const) {
      const record = await patch(NAME, to, { strategy, size });
      expect(record).toMatchObject({
        ...{ schema: 'dbproxy.move/1', outcome: 'completed', strategy, error: null },
        from: { size: 'small', postgres: from },
        to: { size, postgres: to },
        sessions: { total: 8, moved: 8, kept: 0, failed: [], dropped: 0 },
      });
      expect(record.operation).toMatch(/^patch-\d+$/);
      expect(record.from.engine === record.to.engine).toBe(strategy === 'in-place');
      expect(await engines()).toEqual([`primary ${size} ${to} running`]);
    }
    await load.expectUndisturbed();
  }, 120_000);
});

test('a session takes what it holds along, and is told the new version', async () => {
  const client = await connect();
  const told: string[] = [];
  (client as unknown as { connection: NodeJS.EventEmitter }).connection.on(
    'parameterStatus',
    ({ parameterName, parameterValue }: { parameterName: string; parameterValue: string }) =>
      told.push(`${parameterName} ${parameterValue}`),
  );
  await client.query(`create temp table mine as select g from generate_series(1, 7) g`);
  await client.query(
    `declare c scroll cursor with hold for select g from generate_series(1, 9) g; fetch 4 from c`,
  );
  await client.query(`select pg_advisory_lock(7), pg_advisory_lock(7); listen bell; set app.kept = 'yes'`);
  await client.query({ name: 'sum', text: 'select $1::int + 1 as n', values: [1] });
  expect(await patch(NAME, OLDER)).toMatchObject({
    outcome: 'completed',
    sessions: { moved: 1 },
    stateMoved: { tempTables: 1, cursors: 1, listens: 1, advisoryLocks: 1 },
  });
  expect(await value(client, 'show server_version')).toBe(OLDER);
  expect(told).toContain(`server_version ${OLDER}`);
  expect(await value(client, 'select sum(g)::int from mine')).toBe(28);
  expect(await value(client, 'fetch from c')).toBe(5);
  expect(await value(client, `select current_setting('app.kept')`)).toBe('yes');
  for (const held of [true, true, false])
    expect(await value(client, 'select pg_advisory_unlock(7)')).toBe(held);
  await client.end();
});

describe('what is there already, and what cannot be', () => {
  test('this version and size: done, nothing is touched; a major alone is the newest that is here', async () => {
    const before = await status(NAME);
    expect(await patch(NAME, OLDER)).toMatchObject({
      outcome: 'completed',
      attempts: 0,
      sessions: { moved: 0 },
    });
    expect((await status(NAME)).engines.map(({ id }) => id)).toEqual(before.engines.map(({ id }) => id));
    expect(await patch(NAME, '17')).toMatchObject({
      outcome: 'completed',
      error: null,
      to: { postgres: NEWER },
    });
    expect(await patch(NAME, '17')).toMatchObject({ attempts: 0, to: { postgres: NEWER } });
  });

  test.each([
    ['18', 'DBP_PATCH_MAJOR', /initialised.*logical replication.*sequences.*OIDs/],
    ['18.1', 'DBP_PATCH_MAJOR', /PostgreSQL 18\.1 is another major version than 17\.10/],
    ['16.4', 'DBP_PATCH_DOWNGRADE', /older major version/],
    [
      'seventeen',
      'DBP_USAGE_UNKNOWN_VERSION',
      engineKind() === 'docker' ? /nearest: 17$/ : /nearest: 17\.10, 17\.9/,
    ],
  ])('%s is refused, and nothing has begun', async (to, code, message) => {
    const before = await status(NAME);
    const refused = (await patch(NAME, to).catch((error: unknown) => error)) as Error;
    expect(refused).toMatchObject({ code, exitCode: 2 });
    expect(refused.message).toMatch(message);
    const after = await status(NAME);
    expect(after.engines.map(({ id }) => id)).toEqual(before.engines.map(({ id }) => id));
    expect(after.operation).toBeNull();
  });
});

test('the version that was patched to is the one that a later up starts', async () => {
  expect(await patch(NAME, OLDER)).toMatchObject({ outcome: 'completed', error: null });
  await stopInstance(NAME);
  ({ url } = await live.up(NAME));
  expect(await engines()).toEqual([`primary medium ${OLDER} running`]);
});

describe('a patch that fails', () => {
  test('a server that does not start: the old version goes on serving, nothing is left of the new one', async () => {
    await addBroken(cache);
    const writer = await Writer.start(url);
    await writer.progressed();
    const before = await engines();
    const move = await patch(NAME, BROKEN);
    expect(move).toMatchObject({
      outcome: 'rolled-back',
      from: { postgres: OLDER },
      to: { postgres: BROKEN },
      sessions: { total: 0, moved: 0 },
      error: { code: 'DBP_SWITCH_ROLLED_BACK' },
    });
    expect(move.error?.message).toContain('exit code 1');
    await writer.progressed();
    await writer.finish();
    expect(await engines()).toEqual(before);
    expect(await processesBelow(`${live.home}/instances/${NAME}/engines/${move.to.engine}`)).toEqual([]);
  });

  test('kill -9 of the new server before promotion: rolled back, nobody notices', async () => {
    const writer = await Writer.start(url);
    await writer.progressed();
    const before = await engines();
    const pause = new Pause('drain', live.home);
    const supervisor = await pausing(NAME, pause);
    const running = supervisor.call('patch', { ...SCALE, strategy: 'standby', to: NEWER });
    const target = async () =>
      (await supervisor.call('status', {})).engines.find(({ role }) => role === 'standby');
    await pause.reached();
    const engine = (await target())!;
    expect(engine.postgres).toBe(NEWER);
    await crashEngine(engine);
    await pause.goOn();
    expect(await running).toMatchObject({
      outcome: 'rolled-back',
      error: { code: 'DBP_SWITCH_ROLLED_BACK' },
    });
    supervisor.close();
    await writer.progressed();
    await writer.finish();
    expect(await engines()).toEqual(before);
  });
});
