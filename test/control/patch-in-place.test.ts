/** `patch --strategy in-place` with the real supervisor and proxy: what may go wrong, and kill -9 at every step. */
import { access } from 'node:fs/promises';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { MoveRecord, PatchParams } from '../../src/control/api.js';
import { startInstance } from '../../src/control/client.js';
import { InstanceDirectory } from '../../src/control/instance-directory.js';
import { addBroken, BROKEN } from '../support/broken-version.js';
import { value } from '../support/clients.js';
import { Pause } from '../support/pause.js';
import { cacheWithBoth, NEWER, OLDER } from '../support/versions.js';
import { events, killSupervisor, LiveHome, patch, pausing, SCALE, status, until, Writer } from './live.js';

const NAME = 'inplace';
let live: LiveHome;
let cache: string;
let url: string;
beforeAll(async () => {
  live = await LiveHome.open();
  cache = await cacheWithBoth(live.home);
  ({ url } = await live.up(NAME, { postgres: OLDER }));
});
afterAll(() => live.close());

const inPlace = (to: string, more: Partial<PatchParams> = {}): Promise<MoveRecord> =>
  patch(NAME, to, { strategy: 'in-place', ...more });

const primary = async () => (await status(NAME)).engines[0]!;
/** The other one of the two. */
const other = async (): Promise<string> => ((await primary()).postgres === OLDER ? NEWER : OLDER);

async function connect(user = 'postgres'): Promise<pg.Client> {
  const address = new URL(url);
  address.username = user;
  const client = new pg.Client({ connectionString: address.href });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

/** Holds something of every kind that only its backend has. */
async function loaded(): Promise<pg.Client> {
  const client = await connect();
  for (const sql of [
    `create temp table mine as select g from generate_series(1, 7) g`,
    `declare c scroll cursor with hold for select g from generate_series(1, 9) g`,
    `move 4 in c`,
    `select pg_advisory_lock(7), pg_advisory_lock(7)`,
    `listen bell`,
    `set app.kept = 'yes'`,
  ])
    await client.query(sql);
  return client;
}

async function expectLoaded(client: pg.Client): Promise<void> {
  expect(await value(client, 'select sum(g)::int from mine')).toBe(28);
  expect(await value(client, 'fetch from c')).toBe(5);
  await client.query('move backward 1 in c');
  expect(await value(client, `select current_setting('app.kept')`)).toBe('yes');
  expect(await value(client, `select count(*)::int from pg_locks where locktype = 'advisory'`)).toBe(1);
  const bell = new Promise<void>((resolve) => client.once('notification', () => resolve()));
  await client.query('notify bell');
  await bell;
}

test('the same engine on the same data, another version and size; what sessions hold is there', async () => {
  const [client, writer] = [await loaded(), await Writer.start(url)];
  await writer.progressed();
  const before = await primary();
  const record = await inPlace(NEWER, { size: 'medium' });
  expect(record).toMatchObject({
    ...{ outcome: 'completed', strategy: 'in-place', error: null },
    from: { engine: before.id, size: 'small', postgres: OLDER },
    to: { engine: before.id, size: 'medium', postgres: NEWER },
    sessions: { total: 2, moved: 2, kept: 0, failed: [], dropped: 0 },
    stateMoved: { tempTables: 1, cursors: 1, listens: 1, advisoryLocks: 1 },
  });
  expect(record.holdMs.count).toBe(2);
  for (const phase of ['provision', 'warm', 'drain', 'fence', 'catchup', 'promote', 'move'] as const)
    expect(record.phasesMs[phase], phase).toBeGreaterThan(0);
  const { catchup, promote } = record.phasesMs;
  expect(record.holdMs.max).toBeGreaterThan(catchup + promote);
  await writer.progressed();
  await writer.finish();
  await expectLoaded(client);
  expect(await value(client, 'show shared_buffers')).not.toBe('128MB');
  expect(await primary()).toMatchObject({ id: before.id, size: 'medium', postgres: NEWER, state: 'running' });
  expect((await status(NAME)).engines).toHaveLength(1);
  expect(await inPlace(OLDER, { size: 'small' })).toMatchObject({ outcome: 'completed', error: null });
  await expectLoaded(client);
  await client.end();
});

describe('what makes it roll back', () => {
  test('a session that holds too much: nothing was stopped, and it is named', async () => {
    const [client, writer] = [await loaded(), await Writer.start(url)];
    const before = await primary();
    const record = await inPlace(NEWER, {
      sessionLimits: { tempBytes: 0, cursorRows: 100, sessionMs: 5_000 },
    });
    expect(record).toMatchObject({ outcome: 'rolled-back', error: { code: 'DBP_SWITCH_UNMOVABLE' } });
    expect(record.error?.message).toMatch(/session \d+ .* holds temporary tables/);
    expect((await primary()).pid).toBe(before.pid);
    await writer.progressed();
    await writer.finish();
    await expectLoaded(client);
    await client.end();
  });

  test('a session that turns out to hold too much when it is read: brought back to the server that still runs', async () => {
    // On disk compressed, in COPY not.
    const client = await loaded();
    await client.query(`create temp table wide as select repeat('x', 1000000) from generate_series(1, 3)`);
    const before = await primary();
    const record = await inPlace(NEWER, {
      sessionLimits: { tempBytes: 1_000_000, cursorRows: 100, sessionMs: 5_000 },
    });
    expect(record).toMatchObject({
      outcome: 'rolled-back',
      sessions: { total: 1, moved: 0, kept: 1, failed: [] },
      error: { code: 'DBP_SWITCH_UNMOVABLE' },
    });
    expect((await primary()).pid).toBe(before.pid);
    await expectLoaded(client);
    expect(await value(client, 'select sum(length(repeat))::int from wide')).toBe(3_000_000);
    await client.end();
  });

  test('a role that would not be let in again', async () => {
    const admin = await connect();
    await admin.query(
      `drop role if exists leaving; create role leaving login password '${new URL(url).password}'`,
    );
    const client = await connect('leaving');
    await admin.query('alter role leaving nologin');
    const before = await primary();
    const record = await inPlace(NEWER);
    expect(record).toMatchObject({ outcome: 'rolled-back', error: { code: 'DBP_SWITCH_UNMOVABLE' } });
    expect(record.error?.message).toContain('not permitted to log in');
    expect((await primary()).pid).toBe(before.pid);
    expect(await value(client, 'select 1')).toBe(1);
    await Promise.all([client.end(), admin.end()]);
  });

  test('a new server that does not start: the old one is started again, and sessions are as they were', async () => {
    await addBroken(cache);
    const [client, writer] = [await loaded(), await Writer.start(url)];
    await writer.progressed();
    const before = await primary();
    const record = await inPlace(BROKEN, { size: 'large' });
    expect(record).toMatchObject({
      outcome: 'rolled-back',
      from: { postgres: before.postgres },
      to: { postgres: BROKEN },
      sessions: { total: 2, moved: 0, kept: 2, failed: [], dropped: 0 },
      error: { code: 'DBP_SWITCH_ROLLED_BACK' },
    });
    expect(record.error?.message).toMatch(/rolled back in step promote: .*exit code 1/);
    expect(record.holdMs.count).toBe(2);
    await writer.progressed();
    await writer.finish();
    await expectLoaded(client);
    await client.end();
    const { id, size, postgres, state } = await primary();
    expect({ id, size, postgres, state }).toEqual({
      ...{ id: before.id, size: before.size, postgres: before.postgres },
      state: 'running',
    });
  });
});

test('--unmovable drop: that session ends with its reason, the others go on', async () => {
  const [client, writer] = [await loaded(), await Writer.start(url)];
  const limits = { tempBytes: 0, cursorRows: 100, sessionMs: 5_000 };
  const record = await inPlace(await other(), { unmovable: 'drop', sessionLimits: limits });
  expect(record).toMatchObject({
    outcome: 'completed',
    error: null,
    sessions: { total: 2, moved: 1, dropped: 1 },
  });
  await expect(client.query('select 1')).rejects.toThrow();
  await writer.progressed();
  await writer.finish();
});

test('a session whose login fails afterwards ends with the reason, which is on record; the others go on', async () => {
  const [admin, writer] = [await connect(), await Writer.start(url)];
  await admin.query(
    `drop role if exists shut_out; create role shut_out login password '${new URL(url).password}'`,
  );
  const client = await connect('shut_out');
  const ended = new Promise<Error>((resolve) => client.once('error', resolve));
  await admin.query(`
    create function no_more() returns event_trigger language plpgsql as $$
      begin if session_user = 'shut_out' then raise exception 'not today'; end if; end $$;
    create event trigger bouncer on login execute function no_more(); alter event trigger bouncer enable always`);
  const record = await inPlace(await other());
  expect(record).toMatchObject({ outcome: 'completed', error: null, sessions: { total: 3, moved: 2 } });
  expect(record.sessions.failed).toMatchObject([{ reason: expect.stringContaining('not today') as unknown }]);
  expect((await ended).message).toMatch(/could not be moved.*not today/);
  await writer.progressed();
  await writer.finish();
  await admin.query('drop event trigger bouncer; drop function no_more');
  await admin.end();
});

describe('killed', () => {
  /** Begins a patch, and waits until it is at that step, where its supervisor stays. */
  async function patchUntil(step: string): Promise<{ ended: Promise<unknown> }> {
    const to = await other();
    const pause = new Pause(step, live.home);
    const supervisor = await pausing(NAME, pause);
    const ended = supervisor
      .call('patch', { ...SCALE, holdBudgetMs: 2_000, strategy: 'in-place', to })
      .catch((error: unknown) => error)
      .finally(() => supervisor.close());
    await pause.reached();
    return { ended };
  }

  async function expectHealthy(): Promise<{ id: string; postgres: string }> {
    const now = await status(NAME);
    expect(now).toMatchObject({ state: 'running', operation: null });
    expect(now.engines).toMatchObject([{ role: 'primary', state: 'running' }]);
    await expect(access(InstanceDirectory.of(NAME).paths.operationFile)).rejects.toThrow('ENOENT');
    return now.engines[0]!;
  }

  test.each(['provision', 'warm', 'drain', 'fence', 'catchup', 'promote', 'move'])(
    'supervisor at %s: no client is lost; the next command settles it by what runs',
    async (step) => {
      const before = await expectHealthy();
      const [client, writer] = [await loaded(), await Writer.start(url)];
      await writer.progressed();
      const running = await patchUntil(step);
      await killSupervisor(NAME);
      await running.ended;
      // Until `catchup` a server runs, and nobody waits for the next command.
      if (step !== 'promote') await writer.progressed();
      const after = await expectHealthy();
      await writer.progressed();
      await writer.finish();
      await expectLoaded(client);
      await client.end();
      expect(after.id).toBe(before.id);
      expect(after.postgres === before.postgres).toBe(step !== 'move');
      const last = (await events(NAME)).findLast(({ type }) =>
        /^operation\.(completed|rolled-back)$/.test(type),
      );
      expect(last).toMatchObject({
        type: step === 'move' ? 'operation.completed' : 'operation.rolled-back',
        data: { repaired: true },
      });
    },
  );

  test('proxy while the server is stopped: its clients are gone, the new version serves', async () => {
    const to = await other();
    const pause = new Pause('promote', live.home);
    const writer = await Writer.start(url);
    const supervisor = await pausing(NAME, pause);
    const running = supervisor.call('patch', { ...SCALE, strategy: 'in-place', to });
    await pause.reached();
    process.kill((await InstanceDirectory.of(NAME).readProxy())!.process.pid, 'SIGKILL');
    await until('the writer saw its connection break', () => writer.error !== null);
    await pause.goOn();
    expect(await running).toMatchObject({
      outcome: 'completed',
      sessions: { total: 1, moved: 0, failed: [{ reason: expect.stringContaining('proxy') as unknown }] },
    });
    supervisor.close();
    await until('a new proxy', async () => (await status(NAME)).state === 'running');
    expect(await expectHealthy()).toMatchObject({ postgres: to });
    expect(await Writer.count(url)).toBeGreaterThanOrEqual(writer.acknowledged);
  });

  test('supervisor and proxy while the server is stopped: up brings back what was there', async () => {
    const before = await expectHealthy();
    const writer = await Writer.start(url);
    await writer.progressed();
    const running = await patchUntil('promote');
    const proxy = await InstanceDirectory.of(NAME).readProxy();
    await killSupervisor(NAME);
    process.kill(proxy!.process.pid, 'SIGKILL');
    await running.ended;
    await until('the writer saw its connection break', () => writer.error !== null);
    await startInstance({ name: NAME });
    expect(await expectHealthy()).toMatchObject({ postgres: before.postgres });
    expect(await Writer.count(url)).toBeGreaterThanOrEqual(writer.acknowledged);
  });
});
