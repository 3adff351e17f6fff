/** Instances whose engines are containers, with the real supervisor and proxy: their life, and what may happen to it. */
import { access, rm } from 'node:fs/promises';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { instanceLogs, startInstance, stopInstance } from '../../src/control/client.js';
import { examine } from '../../src/control/doctor.js';
import { InstanceDirectory } from '../../src/control/instance-directory.js';
import { chooseProvider } from '../../src/engine/index.js';
import { docker, hasDocker, IMAGE, leftOf, WITH_BASE_BACKUP } from '../support/docker/index.js';
import { value } from '../support/clients.js';
import { Pause } from '../support/pause.js';
import {
  events,
  killSupervisor,
  LiveHome,
  pausing,
  pidOf,
  processesBelow,
  SCALE,
  scale,
  status,
  until,
  Writer,
} from './live.js';

const LONG_MS = 180_000;
const CONTAINERS = { provider: 'docker', image: IMAGE } as const;

const containerOf = async (name: string): Promise<string> =>
  (await status(name)).engines.find(({ role }) => role === 'primary')?.container ?? '';

async function ask(url: string, sql: string): Promise<unknown> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await value(client, sql);
  } finally {
    await client.end();
  }
}

describe.skipIf(!hasDocker)('an instance of containers', () => {
  let live: LiveHome;
  beforeAll(async () => void (live = await LiveHome.open()));
  afterAll(async () => {
    await live.close();
    expect(leftOf(live.home)).toEqual([]);
  }, LONG_MS);

  test(
    'up, scale under load, patch --self, down keeps the data, up finds it, purge leaves nothing',
    async () => {
      const first = await live.up('one', CONTAINERS);
      expect(first).toMatchObject({
        provider: 'docker',
        engines: [{ id: 'e1', role: 'primary', provider: 'docker', pid: null }],
      });
      expect(first.providerReason).toMatch(/^docker \(asked for\): .* image dbproxy-test\/postgres:17$/);
      const writer = await Writer.start(first.url);
      const session = new pg.Client({ connectionString: first.url });
      await session.connect();
      await session.query(
        `create temp table held as select 7 as n; select pg_advisory_lock(11); set work_mem = '9MB'`,
      );

      const move = await scale('one', 'large');
      expect(move).toMatchObject({
        ...{ outcome: 'completed', error: null },
        sessions: { total: 2, moved: 2, failed: [] },
        from: { provider: 'docker', size: 'small' },
        to: { provider: 'docker', size: 'large' },
      });
      await writer.progressed();
      expect(await writer.finish()).toBeGreaterThan(10);
      expect(await value(session, `select n || current_setting('work_mem') from held`)).toBe('79MB');
      expect(
        await value(
          session,
          `select count(*)::int from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()`,
        ),
      ).toBe(1);
      await session.end();
      // One engine is left, with its one volume and the network.
      const name = await containerOf('one');
      expect(name).toMatch(/^dbproxy-one-[0-9a-f]{8}-e2$/);
      expect(leftOf(live.home)).toHaveLength(3);

      const down = await stopInstance('one');
      expect(down.stopped.join()).toMatch(/proxy \d+,engine e2 \(dbproxy-one-.*-e2\),supervisor \d+/);
      expect(leftOf(live.home).map((line) => line.split(' ')[0])).toEqual([name]);
      const [, , log] = await instanceLogs('one');
      expect(log).toMatchObject({ name: 'e2', container: null });
      const back = await startInstance({ name: 'one' });
      expect(back.engines).toMatchObject([{ id: 'e2', size: 'large', container: name }]);
      expect(await Writer.count(back.url)).toBeGreaterThan(10);
      await stopInstance('one', { purge: true });
      expect(leftOf(live.home)).toEqual([]);
    },
    LONG_MS,
  );

  test(
    'kill -9 of everything of ours, its supervisor in the middle of a scale: up finds the container; down leaves none',
    async () => {
      const up = await live.up('killed', CONTAINERS);
      await ask(up.url, 'create table kept as select 42 as n');
      const pause = new Pause('drain', live.home);
      const supervisor = await pausing('killed', pause);
      const scaling = supervisor.call('scale', { ...SCALE, to: 'large' }).catch((error: unknown) => error);
      await pause.reached();
      process.kill((await InstanceDirectory.of('killed').readProxy())?.process.pid ?? 0, 'SIGKILL');
      await killSupervisor('killed');
      await scaling;
      expect(leftOf(live.home)).toHaveLength(5);
      const back = await live.up('killed', CONTAINERS);
      expect(back.engines).toMatchObject([{ id: 'e1', size: 'small' }]);
      expect(await ask(back.url, 'select n from kept')).toBe(42);
      expect(leftOf(live.home)).toHaveLength(3);

      process.kill((await InstanceDirectory.of('killed').readProxy())?.process.pid ?? 0, 'SIGKILL');
      process.kill(await pidOf('killed'), 'SIGKILL');
      await stopInstance('killed', { purge: true });
      expect(leftOf(live.home)).toEqual([]);
    },
    LONG_MS,
  );

  test(
    'its container killed, or removed by hand: the event says how, and it comes back on its volume',
    async () => {
      const up = await live.up('lost', CONTAINERS);
      await ask(up.url, 'create table kept as select 42 as n');
      for (const verb of ['kill', 'rm'] as const) {
        const before = (await events('lost')).length;
        const name = await containerOf('lost');
        await docker(verb, ...(verb === 'rm' ? ['--force'] : []), name);
        const since = async (): Promise<string> =>
          (await events('lost'))
            .slice(before)
            .map(({ message }) => message)
            .join('\n');
        await until(
          'it is repaired',
          async () => (await since()).includes('started engine e1 on its data'),
          60_000,
        );
        expect(await since()).toMatch(
          // One that is removed by force is killed first; it may be seen then.
          verb === 'kill'
            ? /engine e1 \(.*\) is gone: exit code 137/
            : /is gone: (its container is gone|exit code 137)/,
        );
        expect(await ask(up.url, 'select n from kept')).toBe(42);
      }
      await stopInstance('lost', { purge: true });
    },
    LONG_MS,
  );

  test(
    'two that want one port: one has it, the other is told who, and leaves nothing',
    async () => {
      const { port } = await live.up('first', CONTAINERS);
      const before = leftOf(live.home);
      const error: unknown = await live
        .up('second', { ...CONTAINERS, port })
        .catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code: 'DBP_ENV_PORT_TAKEN', exitCode: 4 });
      expect(leftOf(live.home)).toEqual(before);
      await until(
        'nothing of the second runs',
        async () => !(await processesBelow(live.home)).some((line) => line.includes('second')),
      );
      await stopInstance('first', { purge: true });
    },
    LONG_MS,
  );

  test(
    'an image of another major, and one for embedded engines: usage errors, nothing is made',
    async () => {
      const other = startInstance({ name: 'major', provider: 'docker', image: WITH_BASE_BACKUP });
      await expect(other).rejects.toMatchObject({ code: 'DBP_USAGE_IMAGE_VERSION', exitCode: 2 });
      const embedded = startInstance({ name: 'major', provider: 'embedded', image: IMAGE });
      await expect(embedded).rejects.toMatchObject({ code: 'DBP_USAGE', exitCode: 2 });
      await expect(access(InstanceDirectory.of('major').paths.directory)).rejects.toThrow('ENOENT');
      expect(leftOf(live.home)).toEqual([]);
    },
    LONG_MS,
  );

  test(
    'from a process to a container and back: every session moves, its state comes along, nothing is left behind',
    async () => {
      const { url } = await live.up('mixed', { provider: 'embedded' });
      const writer = await Writer.start(url);
      const session = new pg.Client({ connectionString: url });
      await session.connect();
      await session.query(`create temp table held as select 7 as n; set work_mem = '9MB'`);
      const steps = [
        { to: 'large', provider: 'docker', image: IMAGE },
        { to: 'medium' },
        { to: 'small', provider: 'embedded' },
      ] as const;
      for (const step of steps) {
        const move = await scale('mixed', step.to, { ...step });
        expect(move).toMatchObject({ outcome: 'completed', error: null, sessions: { total: 2, moved: 2 } });
        expect(await value(session, `select n || current_setting('work_mem') from held`)).toBe('79MB');
        await writer.progressed();
        const { engines } = await status('mixed');
        expect(engines).toMatchObject([
          { provider: step.to === 'small' ? 'embedded' : 'docker', size: step.to },
        ]);
      }
      await session.end();
      expect(await writer.finish()).toBeGreaterThan(10);
      expect(leftOf(live.home).filter((line) => line.includes('-mixed-'))).toEqual([]);
      await stopInstance('mixed');
      const back = await startInstance({ name: 'mixed' });
      expect(back).toMatchObject({
        provider: 'embedded',
        engines: [{ provider: 'embedded', container: null }],
      });
      expect(await Writer.count(back.url)).toBeGreaterThan(10);
      await stopInstance('mixed', { purge: true });
    },
    LONG_MS,
  );

  test(
    'kill -9 of the supervisor while it makes a container beside a process: what was made of it is removed',
    async () => {
      await live.up('half', { provider: 'embedded' });
      const ours = (): string[] => leftOf(live.home).filter((line) => line.includes('-half-'));
      const scaling = scale('half', 'large', { provider: 'docker', image: IMAGE }).catch(
        (error: unknown) => error,
      );
      await until('its container is there', () => ours().some((line) => /-e2 /.test(line)), 60_000);
      await killSupervisor('half');
      await scaling;
      const record = await InstanceDirectory.of('half').readInstance();
      expect(record?.engines.map(({ id }) => id)).toEqual(['e1']);
      expect(ours()).not.toEqual([]);

      const { state, engines } = await status('half');
      expect({ state, engines }).toMatchObject({ state: 'running', engines: [{ id: 'e1', size: 'small' }] });
      expect(ours()).toEqual([]);
      expect(await ask((await live.up('half')).url, 'select count(*)::int from pg_replication_slots')).toBe(
        0,
      );
      await stopInstance('half', { purge: true });
    },
    LONG_MS,
  );

  test.each([
    ['embedded', 'docker'],
    ['docker', 'embedded'],
  ] as const)(
    'text that would sort by other rules: from %s to %s is refused, and nobody is held',
    async (from, to) => {
      const name = `sort-${from}`;
      const of = (provider: 'embedded' | 'docker') =>
        provider === 'docker' ? ({ provider, image: IMAGE } as const) : { provider };
      const { url } = await live.up(name, of(from));
      const client = new pg.Client({ connectionString: url });
      client.on('error', () => undefined);
      await client.connect();
      await client.query(`create collation german (provider = icu, locale = 'de-DE')`);
      await client.query('create table words (word text collate german primary key)');
      // As after an index was made by an older library.
      await client.query(`update pg_collation set collversion = '58.0.6' where collname = 'german'`);
      const record = await scale(name, 'medium', of(to));
      expect(record).toMatchObject({
        ...{ outcome: 'rolled-back', holdMs: { count: 0 } },
        error: { code: 'DBP_ENGINE_INCOMPATIBLE' },
      });
      expect(record.error?.message).toMatch(
        /text sorts by other rules: collation german of postgres has version 58\.0\.6, there it would be \d/,
      );
      expect((await status(name)).engines).toMatchObject([{ id: 'e1', provider: from, size: 'small' }]);
      expect(await value(client, 'select count(*)::int from words')).toBe(0);
      await client.end();
      await stopInstance(name, { purge: true });
    },
    LONG_MS,
  );

  test(
    'its directory removed by hand: doctor names what is left, and --fix removes it',
    async () => {
      await live.up('orphan', CONTAINERS);
      process.kill((await InstanceDirectory.of('orphan').readProxy())?.process.pid ?? 0, 'SIGKILL');
      await killSupervisor('orphan');
      await rm(InstanceDirectory.of('orphan').paths.directory, { recursive: true });
      const found = (await examine({ fix: false })).checks.filter(
        ({ name, detail }) => name === 'docker' && detail.includes(live.home),
      );
      expect(found.map(({ detail }) => detail).join()).toContain('of instance "orphan"');
      expect(leftOf(live.home)).toHaveLength(3);
      const fixed = (await examine({ fix: true })).checks.filter(
        ({ name, detail }) => name === 'docker' && detail.includes(live.home),
      );
      expect(fixed).toMatchObject([{ state: 'fixed' }]);
      expect(leftOf(live.home)).toEqual([]);
    },
    LONG_MS,
  );
});

test.skipIf(hasDocker)('auto without a container runtime is embedded, and says why', async () => {
  const options = { cacheDirectory: '/nonexistent', owner: { name: 'auto', directory: '/nonexistent' } };
  const chosen = await chooseProvider({ provider: 'auto', postgres: '17' }, options);
  expect(chosen.provider.kind).toBe('embedded');
  expect(chosen.reason).toMatch(/^embedded \(auto: no container runtime: .+\)/);
});

describe.skipIf(!hasDocker)('a runtime that answers, without the image, and no registry that has it', () => {
  const NOWHERE = '127.0.0.1:9/nowhere/postgres';
  let live: LiveHome;
  beforeAll(async () => {
    live = await LiveHome.open();
    vi.stubEnv('DBPROXY_IMAGE', NOWHERE);
  });
  afterAll(async () => {
    vi.unstubAllEnvs();
    await live.close();
    expect(leftOf(live.home)).toEqual([]);
  }, LONG_MS);

  test(
    'auto is embedded, and says why; the image is pulled once more when the next instance is made',
    async () => {
      const up = await live.up('auto', { provider: 'auto' });
      expect(up.provider).toBe('embedded');
      expect(up.providerReason).toMatch(
        new RegExp(
          `^embedded \\(auto: the image ${NOWHERE}:17 is not here, and cannot be pulled: .+\\)(: engines run as user .+)?$`,
        ),
      );
      await stopInstance('auto', { purge: true });
    },
    LONG_MS,
  );

  test('asked for by --provider docker, or by --image: exit code 4, with what to do; nothing is made', async () => {
    const asked = startInstance({ name: 'asked', provider: 'docker' });
    await expect(asked).rejects.toMatchObject({ code: 'DBP_ENV_IMAGE', exitCode: 4 });
    const named = startInstance({ name: 'asked', provider: 'auto', image: NOWHERE });
    await expect(named).rejects.toMatchObject({
      ...{ code: 'DBP_ENV_IMAGE', exitCode: 4 },
      suggestions: expect.arrayContaining([
        `docker pull ${NOWHERE}:17, where there is a network`,
      ]) as string[],
    });
    await expect(access(InstanceDirectory.of('asked').paths.directory)).rejects.toThrow('ENOENT');
  });
});
