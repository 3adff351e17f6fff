/** `up` and `down` with the real supervisor, proxy and engines. */
import { existsSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { access, chmod, readFile, rename, rm, writeFile } from 'node:fs/promises';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connectSupervisor, listInstances, startInstance, stopInstance } from '../../src/control/client.js';
import { InstanceDirectory } from '../../src/control/instance-directory.js';
import { launchSupervisor } from '../../src/control/launch.js';
import {
  events,
  freePort,
  isRunning,
  killSupervisor,
  LiveHome,
  pidOf,
  processesBelow,
  status,
  until,
} from './live.js';
import { sharedMemory } from '../engine/support.js';
import { Pause } from '../support/pause.js';
import { useProvider } from '../support/provider.js';

// By their processes; containers have tests of their own (docker.test.ts).
useProvider('embedded');

let live: LiveHome;
beforeAll(async () => {
  live = await LiveHome.open();
});
afterAll(() => live.close());

const ask = async (url: string, sql: string): Promise<unknown> => {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<Record<string, unknown>>(sql);
    return Object.values(rows[0] ?? {})[0];
  } finally {
    await client.end();
  }
};

test('up, up again, down keeps the data, up finds it, purge removes all', async () => {
  const first = await live.up('one');
  expect(first).toMatchObject({ schema: 'dbproxy.up/1', instance: 'one', alreadyRunning: false });
  expect(first.engines).toMatchObject([{ id: 'e1', role: 'primary', size: 'small' }]);
  // A patch does not change it: it has no version, which would be that of another minor then.
  expect(first.providerReason).not.toMatch(/PostgreSQL \d/);
  await ask(first.url, 'create table kept as select 42 as n');

  const again = await live.up('one');
  expect(again).toMatchObject({
    alreadyRunning: true,
    url: first.url,
    proxy: first.proxy,
    engines: first.engines,
  });

  const down = await stopInstance('one');
  expect(down).toMatchObject({ wasRunning: true, purged: false });
  expect(down.stopped.join()).toMatch(/proxy \d+,engine e1 \(\d+\),supervisor \d+/);
  expect(await processesBelow(live.home)).toEqual([]);
  await expect(access(InstanceDirectory.of('one').paths.runDirectory)).rejects.toThrow('ENOENT');
  await expect(connectSupervisor('one')).rejects.toMatchObject({ code: 'DBP_INSTANCE_NOT_RUNNING' });
  expect(await stopInstance('one')).toMatchObject({ wasRunning: false, stopped: [] });

  const back = await startInstance({ name: 'one', size: 'medium' });
  expect(back).toMatchObject({
    alreadyRunning: false,
    url: first.url,
    engines: [{ id: 'e1', size: 'medium' }],
  });
  expect(await ask(back.url, 'select n from kept')).toBe(42);
  const seqs = (await events('one')).map(({ seq }) => seq);
  expect(seqs).toEqual(seqs.map((_, i) => i + 1));

  expect(await stopInstance('one', { purge: true })).toMatchObject({ wasRunning: true, purged: true });
  await expect(access(InstanceDirectory.of('one').paths.directory)).rejects.toThrow('ENOENT');
  expect(await processesBelow(live.home)).toEqual([]);
});

describe('purge takes the shared memory of an engine that was killed', () => {
  const killed = async (): Promise<string[]> => {
    const { engines, proxy } = await live.up('killed');
    const { enginesDirectory } = InstanceDirectory.of('killed').paths;
    const files = sharedMemory({ directory: join(enginesDirectory, engines[0]!.id) });
    expect(files.length).toBeGreaterThan(0);
    for (const pid of [await pidOf('killed'), proxy.pid, engines[0]!.pid!]) process.kill(pid, 'SIGKILL');
    return files;
  };
  const damage = (): Promise<void> => writeFile(InstanceDirectory.of('killed').paths.instanceFile, '{');

  test.each([
    ['with its supervisor', () => Promise.resolve()],
    ['and was stopped before', () => stopInstance('killed')],
    ['and whose record is damaged', damage],
  ])('%s', async (_how, before) => {
    const files = await killed();
    await before();
    await stopInstance('killed', { purge: true });
    expect(files.filter((file) => existsSync(file))).toEqual([]);
  });
});

test('two ups at once make one instance', async () => {
  const port = await freePort();
  const [a, b] = await Promise.all([live.up('twice', { port }), live.up('twice', { port })]);
  expect(a.proxy).toEqual(b.proxy);
  expect(a.engines).toEqual(b.engines);
  expect([a.alreadyRunning, b.alreadyRunning].sort()).toEqual([false, true]);
  await stopInstance('twice', { purge: true });
});

test('two instances live side by side, and one goes without the other', async () => {
  const [a, b] = [await live.up('left'), await live.up('right')];
  expect(a.port).not.toBe(b.port);
  await ask(a.url, 'create table only_left ()');
  expect(await ask(b.url, `select to_regclass('only_left')::text`)).toBeNull();
  expect((await listInstances()).map(({ name, state }) => [name, state]).sort()).toEqual([
    ['left', 'running'],
    ['right', 'running'],
  ]);
  await stopInstance('left', { purge: true });
  expect(await ask(b.url, 'select 1')).toBe(1);
  await stopInstance('right', { purge: true });
});

test('a supervisor that does not answer in time is ended', async () => {
  const busy = join(live.home, 'busy.cjs');
  await writeFile(busy, "if (process.argv[1]?.endsWith('main.js')) for (;;);\n");
  const directory = InstanceDirectory.of('late');
  process.env.NODE_OPTIONS = `--require ${busy}`;
  try {
    await expect(launchSupervisor(directory, { boundMs: 1_500 })).rejects.toMatchObject({
      code: 'DBP_INSTANCE_START_FAILED',
      message: expect.stringContaining('the supervisor did not answer within 1500 ms') as string,
    });
  } finally {
    delete process.env.NODE_OPTIONS;
  }
  await expect.poll(() => processesBelow(live.home)).toEqual([]);
  await directory.purge();
});

describe('refusals', () => {
  test('a taken port: exit 4, its holder and a free one are named, nothing stays', async () => {
    const holder = createServer().listen(0, '127.0.0.1');
    await once(holder, 'listening');
    const { port } = holder.address() as { port: number };
    try {
      const error: unknown = await live.up('taken', { port }).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code: 'DBP_ENV_PORT_TAKEN', exitCode: 4 });
      expect((error as Error).message).toContain(`(pid ${process.pid})`);
      expect((error as { details: { free: number } }).details.free).toBeGreaterThan(port);
    } finally {
      holder.close();
    }
    expect((await listInstances()).map(({ name }) => name)).not.toContain('taken');
    await until('nothing runs', async () => (await processesBelow(live.home)).length === 0);
  });

  test('a taken port that is only met when the engine is ready: nothing stays of it, either', async () => {
    const holder = createServer().listen(0, '127.0.0.1');
    await once(holder, 'listening');
    const { port } = holder.address() as AddressInfo;
    const pause = new Pause('proxy.starting', live.home);
    let start: Promise<unknown> | undefined;
    await pause.during(() => {
      start = live.up('later', { port }).catch((thrown: unknown) => thrown);
      return pause.reached();
    });
    const made = async (): Promise<number> =>
      (await InstanceDirectory.of('later').readInstance())?.engines.length ?? 0;
    await until('the engine is made', async () => (await made()) === 1);
    await pause.goOn();
    expect(await start).toMatchObject({ code: 'DBP_ENV_PORT_TAKEN' });
    holder.close();
    expect((await listInstances()).map(({ name }) => name)).not.toContain('later');
    await until('nothing runs', async () => (await processesBelow(live.home)).length === 0);
  });

  test('a start that is giving up: the next one waits for its end, and nothing is removed under it', async () => {
    const holder = createServer().listen(0, '127.0.0.1');
    await once(holder, 'listening');
    const { port: taken } = holder.address() as AddressInfo;
    const pause = new Pause('given-up', live.home);
    const exists = (path: string): Promise<boolean> =>
      access(path).then(
        () => true,
        () => false,
      );
    const { paths } = InstanceDirectory.of('late');
    let first: Promise<unknown> | undefined;
    await pause.during(() => {
      first = live.up('late', { port: taken }).catch((thrown: unknown) => thrown);
      return pause.reached();
    });
    const port = await freePort();
    const second = live.up('late', { port });
    await until('the next one has begun', () => exists(paths.lockDirectory));
    await pause.goOn();
    expect(await first).toMatchObject({ code: 'DBP_ENV_PORT_TAKEN' });
    expect(await second).toMatchObject({ alreadyRunning: false, port });
    holder.close();
    await stopInstance('late', { purge: true });
  });

  test('another version or another name: usage errors, nothing is made', async () => {
    await expect(startInstance({ name: 'old', postgres: '9.6' })).rejects.toMatchObject({
      code: 'DBP_USAGE_UNKNOWN_VERSION',
      exitCode: 2,
    });
    await expect(startInstance({ name: 'No Good' })).rejects.toMatchObject({ exitCode: 2 });
    expect(await listInstances()).toEqual([]);
  });

  test('other settings than the running ones', async () => {
    const { port } = await live.up('fixed');
    await expect(startInstance({ name: 'fixed', size: 'large' })).rejects.toMatchObject({
      code: 'DBP_INSTANCE_SETTINGS_DIFFER',
      exitCode: 2,
      suggestions: ['dbproxy scale --to large', 'dbproxy up --name other'],
    });
    await expect(startInstance({ name: 'fixed', maxSessions: 7 })).rejects.toMatchObject({
      message: expect.stringContaining('max-sessions') as string,
      suggestions: ['dbproxy down, then this once more', 'dbproxy up --name other'],
    });
    expect(await startInstance({ name: 'fixed', size: 'small', port, postgres: '17' })).toMatchObject({
      alreadyRunning: true,
    });
    await stopInstance('fixed', { purge: true });
  });

  test('a damaged record is named, and lost data is not built over', async () => {
    await live.up('broken');
    await stopInstance('broken');
    const file = InstanceDirectory.of('broken').paths.instanceFile;
    const whole = await readFile(file, 'utf8');
    await writeFile(file, whole.slice(0, 40));
    await expect(live.up('broken')).rejects.toMatchObject({
      code: 'DBP_INSTANCE_DAMAGED',
      details: { file },
    });
    expect(await readFile(file, 'utf8')).toBe(whole.slice(0, 40));
    await writeFile(file, whole);
    expect(await live.up('broken')).toMatchObject({ engines: [{ id: 'e1' }] });

    // Damaged while it runs, and the supervisor dead: `down` still finds everything.
    process.kill(await pidOf('broken'), 'SIGKILL');
    await writeFile(file, '{');
    expect((await stopInstance('broken')).stopped.join()).toMatch(/proxy \d+,engine e1/);
    expect(await processesBelow(live.home)).toEqual([]);
    expect(await readFile(file, 'utf8')).toBe('{');
    await stopInstance('broken', { purge: true });
  });
});

describe('after kill -9', () => {
  test('of the supervisor: the client does not notice, the next command repairs', async () => {
    const { url } = await live.up('crash');
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
    const before = await pidOf('crash');
    process.kill(before, 'SIGKILL');
    await until('the supervisor is gone', () => !isRunning(before));
    expect((await client.query<{ pid: number }>('select pg_backend_pid() as pid')).rows).toEqual(rows);
    expect((await listInstances()).find(({ name }) => name === 'crash')?.state).toBe('supervisor-dead');
    const now = await status('crash');
    expect(now).toMatchObject({ state: 'running', repaired: [] });
    expect(now.sessions).toHaveLength(1);
    expect(now.sessions[0]?.query).toContain('pg_backend_pid()');
    expect(now.sessions[0]).not.toHaveProperty('unasked');
    // What `check` asks is no statement of the client's.
    const supervisor = await connectSupervisor('crash');
    await supervisor.call('check', { withinMs: 1_000 });
    supervisor.close();
    expect((await status('crash')).sessions[0]?.query).toBeNull();
    await client.query('select 1 as again');
    expect((await status('crash')).sessions[0]?.query).toBe('select 1 as again');
    await client.end();
  });

  test('of the proxy: a new one on the same port', async () => {
    const before = await status('crash');
    process.kill(before.proxy!.pid, 'SIGKILL');
    await until('a new proxy answers', async () => {
      const now = await status('crash');
      return now.state === 'running' && now.proxy?.pid !== before.proxy?.pid;
    });
    expect(await ask(before.url, 'select 1')).toBe(1);
    expect((await status('crash')).proxy?.generation).toBe(2);
    expect((await events('crash')).map(({ type }) => type)).toContain('proxy.lost');
  });

  test('of the engine: it comes back on its data', async () => {
    const before = await status('crash');
    await ask(before.url, 'create table survivor as select 7 as n');
    process.kill(before.engines[0]!.pid!, 'SIGKILL');
    await until('the engine runs again', async () => {
      const now = await status('crash');
      return now.state === 'running' && now.engines[0]?.pid !== before.engines[0]?.pid;
    });
    expect(await ask(before.url, 'select n from survivor')).toBe(7);
    expect((await events('crash')).map(({ type }) => type)).toContain('engine.lost');
  });

  test('of the supervisor, whose socket still takes connections for a moment: there is one new supervisor', async () => {
    const { supervisorSocket } = InstanceDirectory.of('crash').paths;
    await killSupervisor('crash');
    const dying = createServer((connection) => void connection.destroy());
    // Its end removes what it was bound to, by name.
    await new Promise<void>((resolve) => dying.listen(`${supervisorSocket}.dying`, resolve));
    await chmod(`${supervisorSocket}.dying`, 0o600);
    await rename(`${supervisorSocket}.dying`, supervisorSocket);
    try {
      expect(await live.up('crash')).toMatchObject({ alreadyRunning: false });
      const supervisors = (await processesBelow(live.home)).filter((each) =>
        each.includes('control/main.js'),
      );
      expect(supervisors).toHaveLength(1);
    } finally {
      await new Promise((resolve) => dying.close(resolve));
    }
    const started = (await events('crash')).filter(({ type }) => type === 'supervisor.started');
    expect(started.at(-1)?.data).toEqual({ pid: await pidOf('crash') });
  });

  test('of everything: up works; of supervisor and proxy: down leaves nothing', async () => {
    const { proxy, engines, url } = await status('crash');
    for (const pid of [await pidOf('crash'), proxy!.pid, engines[0]!.pid!]) process.kill(pid, 'SIGKILL');
    expect(await live.up('crash')).toMatchObject({ alreadyRunning: false, url });
    expect(await ask(url, 'select n from survivor')).toBe(7);

    const now = await status('crash');
    for (const pid of [await pidOf('crash'), now.proxy!.pid]) process.kill(pid, 'SIGKILL');
    expect((await stopInstance('crash')).stopped.join()).toMatch(/engine e1/);
    expect(await processesBelow(live.home)).toEqual([]);
    await stopInstance('crash', { purge: true });
  });
});

test('somebody removes the directory of one that runs: supervisor and proxy end by themselves, up makes it anew', async () => {
  const { url, engines } = await live.up('gone');
  const before = [await pidOf('gone'), (await status('gone')).proxy!.pid];
  await rm(InstanceDirectory.of('gone').paths.directory, { recursive: true });
  await until('supervisor and proxy are gone', () => !before.some(isRunning));
  // PostgreSQL looks once a minute whether its data is still there (postmaster.c).
  process.kill(engines[0]!.pid!, 'SIGQUIT');
  await until('nothing is left', async () => (await processesBelow(live.home)).length === 0);
  const port = Number(new URL(url).port);
  expect(await live.up('gone', { port })).toMatchObject({ alreadyRunning: false, port });
  await stopInstance('gone', { purge: true });
});
