/** `patch --self` with the real supervisor and proxy: both are replaced under a load that would notice. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, cp, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connect } from 'node:net';
import { promisify } from 'node:util';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CancelResult } from '../../src/control/api.js';
import { cancelOperation } from '../../src/control/cancel.js';
import { askSupervisor, connectSupervisor } from '../../src/control/client.js';
import { InstanceDirectory } from '../../src/control/instance-directory.js';
import { findProxy, proxyStatus } from '../../src/control/proxy-process.js';
import { replaceSelf } from '../../src/control/replace-self.js';
import { MAX_LOGINS } from '../../src/proxy/logins.js';
import { Pause } from '../support/pause.js';
import { successorsOf } from '../support/proxies.js';
import {
  events,
  isRunning,
  killSupervisor,
  LiveHome,
  Load,
  pidOf,
  scale,
  status,
  until,
  Writer,
} from './live.js';

let live: LiveHome;
beforeAll(async () => {
  live = await LiveHome.open();
});
afterAll(() => live.close());

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const silent = (): void => undefined;

/** An instance whose processes, proxies included, stop at this step. */
const pausing = async (name: string, step: string): Promise<{ url: string; pause: Pause }> => {
  const pause = new Pause(step, live.home);
  return { ...(await pause.during(() => live.up(name))), pause };
};

test('three times under TPC-B-like load, and a move after it: no error, an exact ledger', async () => {
  const { url, proxy } = await live.up('self');
  const load = await Load.start(url, 1);
  let before = { proxy: proxy.pid, supervisor: await pidOf('self') };
  const engine = (await status('self')).engines[0]?.pid;
  for (let i = 0; i < 3; i++) {
    const record = await replaceSelf('self', silent);
    expect(record).toMatchObject({
      schema: 'dbproxy.handover/1',
      from: { pid: before.proxy },
      sessions: { handed: 8, lost: 0, failed: [] },
      holdMs: { count: 8 },
      supervisor: { from: { pid: before.supervisor } },
    });
    const now = await status('self');
    expect(now).toMatchObject({
      state: 'running',
      proxy: { pid: record.to.pid, generation: i + 2, sessions: 8 },
      engines: [{ pid: engine }],
    });
    await until('the old proxy has ended', () => !isRunning(before.proxy));
    expect(isRunning(before.supervisor)).toBe(false);
    before = { proxy: record.to.pid, supervisor: record.supervisor.to.pid };
  }
  // What was inherited can be moved.
  expect(await scale('self', 'medium')).toMatchObject({
    outcome: 'completed',
    error: null,
    sessions: { moved: 8 },
  });
  await load.expectUndisturbed();
}, 120_000);

test('state that only the proxy knows survives a handover, and then a move', async () => {
  const { url } = await live.up('self');
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  // ON COMMIT stands in no catalog; a custom setting's name neither; nor does the last unnamed statement.
  await client.query('create temp table gone (n int) on commit delete rows');
  await client.query(`set app.kept = 'yes'; select pg_advisory_lock(7); listen bell`);
  await client.query({ name: 'sum', text: 'select $1::int + 1 as n', values: [1] });
  await replaceSelf('self', silent);
  expect(await scale('self', 'small')).toMatchObject({
    outcome: 'completed',
    stateMoved: { tempTables: 1, listens: 1, advisoryLocks: 1 },
  });
  await client.query('begin');
  await client.query('insert into gone values (1)');
  expect((await client.query('select n from gone')).rows).toEqual([{ n: 1 }]);
  await client.query('commit');
  expect((await client.query('select n from gone')).rows).toEqual([]);
  expect((await client.query('show app.kept')).rows).toEqual([{ 'app.kept': 'yes' }]);
  expect((await client.query({ name: 'sum', text: 'select $1::int + 1 as n', values: [2] })).rows).toEqual([
    { n: 3 },
  ]);
  await client.end();
}, 60_000);

test('kill -9 of the supervisor in the middle: the handover goes on by itself, the next command finds the new proxy', async () => {
  const { url, pause } = await pausing('orphan', 'handover.successor.adopted');
  const writer = await Writer.start(url);
  const before = (await status('orphan')).proxy?.pid ?? 0;
  const ended = replaceSelf('orphan', silent).catch((error: Error) => error);
  await pause.reached();
  await killSupervisor('orphan');
  await pause.goOn();
  expect(await ended).toBeInstanceOf(Error);
  await until('the old proxy has ended', () => !isRunning(before));
  const { proxy, state } = await status('orphan');
  expect(state).toBe('running');
  expect(proxy?.pid).not.toBe(before);
  // Who comes later, and finds nobody who answers, knows which process to end.
  expect(await InstanceDirectory.of('orphan').readProxy()).toMatchObject({
    process: { pid: proxy?.pid },
    generation: 2,
  });
  await writer.progressed();
  await writer.finish();
}, 60_000);

test('kill -9 of the old proxy in the middle: the new one takes over, and the supervisor finds it', async () => {
  const { url, pause } = await pausing('heir', 'handover.go');
  const writer = await Writer.start(url);
  const before = (await status('heir')).proxy?.pid ?? 0;
  const ended = replaceSelf('heir', silent).catch((error: Error) => error);
  await pause.reached();
  process.kill(before, 'SIGKILL');
  await pause.goOn();
  expect(await ended).toMatchObject({ from: { pid: before }, sessions: { handed: 1, lost: 0 } });
  const { proxy } = await status('heir');
  expect(proxy?.pid).not.toBe(before);
  expect(await InstanceDirectory.of('heir').readProxy()).toMatchObject({
    process: { pid: proxy?.pid },
    generation: 2,
  });
  // Its session was handed over before.
  await writer.progressed();
  await writer.finish();
}, 60_000);

test('kill -9 of the new proxy in the middle: the old one goes on', async () => {
  const { url, pause } = await pausing('stays', 'handover.adopted');
  const writer = await Writer.start(url);
  const before = (await status('stays')).proxy?.pid ?? 0;
  const ended = replaceSelf('stays', silent).catch((error: Error) => error);
  await pause.reached();
  const [pid] = successorsOf(before);
  expect(pid).toBeDefined();
  process.kill(pid!, 'SIGKILL');
  await until('its end', () => !isRunning(pid!));
  await pause.goOn();
  expect(await ended).toMatchObject({ code: 'DBP_PROXY_HANDOVER' });
  const now = await status('stays');
  expect(now).toMatchObject({ state: 'running', proxy: { pid: before, generation: 1 } });
  expect((await events('stays')).at(-1)?.type).toBe('operation.rolled-back');
  await writer.progressed();
  await writer.finish();
}, 60_000);

test('whoever asks meanwhile is answered, and starts no supervisor of its own, which may be of an older build', async () => {
  const cli = new URL('../../bin/run.js', import.meta.url).pathname;
  const env = { ...process.env, STARTED_BY: 'patch --self' };
  await live.up('self');
  const errors: unknown[] = [];
  let asks = true;
  const asking = Promise.all(
    [1, 2, 3, 4].map(async () => {
      while (asks) await askSupervisor('self', 'sessions', {}).catch((error: unknown) => errors.push(error));
    }),
  );
  try {
    for (let time = 1; time <= 3; time++) {
      await promisify(execFile)(process.execPath, [cli, 'patch', '--self', '--name', 'self'], { env });
      const environment = await readFile(`/proc/${await pidOf('self')}/environ`, 'latin1');
      expect(environment.includes('STARTED_BY=patch')).toBe(true);
    }
  } finally {
    asks = false;
    await asking;
  }
  expect(errors).toEqual([]);
}, 120_000);

/** This one, in a directory of its own. */
const copyOfThisBuild = async (): Promise<string> => {
  const directory = await mkdtemp(join(live.home, 'build-'));
  for (const part of ['bin', 'dist', 'package.json', 'oclif.manifest.json'])
    await cp(join(ROOT, part), join(directory, part), { recursive: true });
  await symlink(join(ROOT, 'node_modules'), join(directory, 'node_modules'));
  return directory;
};

describe('a build that cannot run', () => {
  test.each([
    {
      what: 'a module of the supervisor is missing',
      spoil: (dist: string) => rm(join(dist, 'control/ensure.js')),
      reason: /control\/main\.js .*Cannot find module .*ensure\.js/,
    },
    {
      what: 'a module of the proxy is no JavaScript',
      spoil: (dist: string) => appendFile(join(dist, 'proxy/relay.js'), '\nconst = ;\n'),
      reason: /proxy\/main\.js .*SyntaxError/,
    },
    {
      what: 'the supervisor ends as it starts',
      spoil: (dist: string) =>
        appendFile(
          join(dist, 'control/supervisor.js'),
          '\nSupervisor.prototype.start = () => process.exit(9);\n',
        ),
      reason: /no supervisor looks after the instance.*exit 9/,
    },
  ])(
    '$what: it says so, and all that runs goes on',
    async ({ spoil, reason }) => {
      const { url, proxy } = await live.up('spoilt');
      const writer = await Writer.start(url);
      const supervisor = await pidOf('spoilt');
      const build = await copyOfThisBuild();
      await spoil(join(build, 'dist'));
      const patch = [join(build, 'bin/run.js'), 'patch', '--self', '--name', 'spoilt', '--json'];
      const ended = await promisify(execFile)(process.execPath, patch).catch((error: unknown) => error);
      expect(ended).toMatchObject({ code: 1 });
      const error = JSON.parse((ended as { stdout: string }).stdout) as Record<string, string>;
      expect(error).toMatchObject({ schema: 'dbproxy.error/1', code: 'DBP_PROXY_HANDOVER' });
      expect(error['message']?.replaceAll('\n', ' ')).toMatch(reason);
      if (!/no supervisor/.test(reason.source)) expect(isRunning(supervisor)).toBe(true);
      expect(await status('spoilt')).toMatchObject({ state: 'running', proxy: { pid: proxy.pid } });
      await writer.progressed();
      await writer.finish();
      // And then, with a build that works:
      expect(await replaceSelf('spoilt', silent)).toMatchObject({ from: { pid: proxy.pid } });
    },
    60_000,
  );
});

describe('several proxy processes, and a build whose proxies end as they start', () => {
  // The kernel gives each connection to one of them.
  const sessionsInEach = async (url: string): Promise<pg.Client[]> => {
    const clients: pg.Client[] = [];
    await until('sessions in each of them', async () => {
      const client = new pg.Client(url);
      await client.connect();
      clients.push(client);
      const processes = (await status('several')).proxy?.processes ?? [];
      return processes.length === 2 && processes.every(({ sessions }) => sessions > 1);
    });
    return clients;
  };

  test.each([
    { what: 'all', fails: 'true', replaced: 0, reason: /ended \(exit 9\)$/ },
    {
      what: 'the second one',
      fails: '/"number":2/.test(process.env.DBPROXY_PROXY_CONFIG)',
      replaced: 1,
      reason:
        /^the proxy was not replaced as a whole, .* serves in place of .*; proxy \d+ was not: the new process ended \(exit 9\)$/,
    },
  ])(
    '$what: no session is lost, and a build that works goes on from there',
    async ({ fails, replaced, reason }) => {
      const { url } = await live.up('several', { proxies: 2 });
      const clients = await sessionsInEach(url);
      for (const client of clients) await client.query('begin; create temporary table mine (n int)');
      const pids = async (): Promise<number[]> =>
        ((await status('several')).proxy?.processes ?? []).map(({ pid }) => pid);
      const before = await pids();
      const build = await copyOfThisBuild();
      await appendFile(
        join(build, 'dist/proxy/handover/successor.js'),
        `\nconst { run } = Successor.prototype;\nSuccessor.prototype.run = function () { if (${fails}) process.exit(9); return run.call(this); };\n`,
      );
      const patch = [join(build, 'bin/run.js'), 'patch', '--self', '--name', 'several', '--json'];
      const ended = await promisify(execFile)(process.execPath, patch).catch((error: unknown) => error);
      const error = JSON.parse((ended as { stdout: string }).stdout) as Record<string, string>;
      expect(error).toMatchObject({
        code: 'DBP_PROXY_HANDOVER',
        message: expect.stringMatching(reason) as string,
      });
      const now = await pids();
      expect(now.map((pid, index) => pid !== before[index])).toEqual([replaced > 0, false]);
      expect(await status('several')).toMatchObject({ state: 'running' });
      for (const client of clients) await client.query('insert into mine values (1)');
      expect(await replaceSelf('several', silent)).toMatchObject({
        sessions: { handed: clients.length, lost: 0 },
      });
      for (const client of clients) await client.query('insert into mine values (2); commit');
      for (const client of clients) await client.end();
    },
    60_000,
  );
});

test.each([
  { what: 'its proxy', name: 'gone', proxies: 1 },
  { what: 'the second of its proxy processes', name: 'gone-2', proxies: 2 },
])(
  'the node that the supervisor runs with is gone, and $what dies: it says what to do, and that helps',
  async ({ name, proxies }) => {
    const { url } = await live.up(name, { proxies });
    const node = join(live.home, 'node');
    await cp(process.execPath, node);
    await promisify(execFile)(node, [join(ROOT, 'bin/run.js'), 'patch', '--self', '--name', name]);
    const { proxy } = await status(name);
    const before = (proxy?.processes?.at(-1) ?? proxy)?.pid ?? 0;
    await rm(node);
    process.kill(before, 'SIGKILL');
    await until('its end', () => !isRunning(before));
    await expect(live.up(name)).rejects.toMatchObject({
      code: 'DBP_ENV_NODE',
      message: expect.stringContaining(`cannot be started with ${node}: spawn ${node} ENOENT`) as string,
      suggestions: [`with a node that is there: dbproxy patch --self --name ${name}`],
    });
    await replaceSelf(name, silent);
    await Writer.start(url).then((writer) => writer.finish());
  },
  60_000,
);

test('a new supervisor whose first repair fails tells of the proxy that serves', async () => {
  const { url, proxy } = await live.up('unrepaired');
  const client = new pg.Client(url);
  await client.connect();
  const password = new URL(url).password;
  await client.query(`alter role postgres password 'another'`);
  await killSupervisor('unrepaired');
  await expect(status('unrepaired')).rejects.toThrow(/no query passes through the proxy/);
  expect(await status('unrepaired')).toMatchObject({
    state: 'degraded',
    proxy: { pid: proxy.pid, sessions: 1 },
    sessions: [{ id: expect.any(Number) as number }],
  });
  await client.query(`alter role postgres password '${password}'`);
  await until('it is repaired', async () => (await status('unrepaired')).state === 'running');
  await client.end();
}, 60_000);

describe('a proxy that has no place for anybody', () => {
  const refusedLogins = async (name: string): Promise<number> => {
    const found = (await findProxy(InstanceDirectory.of(name)))!;
    const { totals } = await proxyStatus(found);
    found.rpc.close();
    return totals.failedLogins;
  };

  const expectServes = async (name: string, proxy: number): Promise<void> => {
    await killSupervisor(name);
    const refused = await refusedLogins(name);
    expect(await status(name)).toMatchObject({ state: 'running', proxy: { pid: proxy } });
    // It has not stood in the queue.
    expect(await refusedLogins(name)).toBe(refused);
    const record = await replaceSelf(name, silent);
    expect(record).toMatchObject({ from: { pid: proxy }, sessions: { lost: 0 } });
    expect((await status(name)).state).toBe('running');
  };

  test('as there are as many sessions as may be: a new supervisor finds it well, and it is replaced', async () => {
    const { url, proxy } = await live.up('full', { maxSessions: 2 });
    const clients = [new pg.Client(url), new pg.Client(url)];
    for (const client of clients) await client.connect();
    await expectServes('full', proxy.pid);
    for (const client of clients) {
      await client.query('select 1');
      await client.end();
    }
  }, 60_000);

  test('as a thousand are in the middle of their login: so it is, too, and who waits for his turn gets in', async () => {
    const { url, proxy } = await live.up('crowd');
    // The beginning of a StartupMessage.
    const halves = Array.from({ length: MAX_LOGINS }, () => connect(Number(new URL(url).port), '127.0.0.1'));
    const ends = halves.map((half) => once(half.resume().on('error', silent), 'close'));
    for (const half of halves) half.write(Buffer.from([0, 0, 0, 40]));
    for (const half of halves) if (half.connecting) await once(half, 'connect');
    const waits = new pg.Client(url);
    const connected = waits.connect();
    connected.catch(silent);
    await expectServes('crowd', proxy.pid);
    await connected;
    await waits.query('select 1');
    await waits.end();
    // They had five seconds to come to their end.
    await Promise.all(ends);
  }, 120_000);
});

describe('dbproxy cancel', () => {
  /** A patch --self whose proxy stops at `step` is given up there, and then goes on. */
  const givenUpAt = async (
    name: string,
    step: string,
  ): Promise<{ writer: Writer; before: number; ended: unknown; cancel: CancelResult }> => {
    const { url, pause } = await pausing(name, step);
    const writer = await Writer.start(url);
    const before = (await status(name)).proxy?.pid ?? 0;
    const ended = replaceSelf(name, silent).catch((error: Error) => error);
    await pause.reached();
    const supervisor = await connectSupervisor(name);
    const cancel = supervisor.call('cancel', {});
    // Answered behind it: the supervisor has passed it on.
    await supervisor.call('status', {});
    await pause.goOn();
    try {
      return { writer, before, ended: await ended, cancel: await cancel };
    } finally {
      supervisor.close();
    }
  };

  test('gives it up until the new process has the listening sockets: rolled back, as any other', async () => {
    const { writer, before, ended, cancel } = await givenUpAt('given-up', 'handover.prepared');
    expect(cancel).toEqual({
      schema: 'dbproxy.cancel/1',
      instance: 'given-up',
      operation: 'patch',
      id: 'handover-1',
      outcome: 'rolled-back',
    });
    expect(ended).toMatchObject({ code: 'DBP_SWITCH_ROLLED_BACK' });
    expect((ended as Error).message).toMatch(/given up/);
    const now = await status('given-up');
    expect(now).toMatchObject({ state: 'running', operation: null, proxy: { pid: before, generation: 1 } });
    expect((await events('given-up')).at(-1)?.type).toBe('operation.rolled-back');
    await writer.progressed();
    await writer.finish();
  }, 60_000);

  test.each(['patch-self.asked', 'patch-self.supervised'])(
    'gives it up at %s, where its supervisor does not know of it yet',
    async (step) => {
      const name = 'only-asked';
      const { url, proxy } = await live.up(name);
      const writer = await Writer.start(url);
      const pause = new Pause(step, live.home);
      const patch = [join(ROOT, 'bin/run.js'), 'patch', '--self', '--name', name, '--json'];
      const env = { ...process.env, ...pause.env };
      const ended = promisify(execFile)(process.execPath, patch, { env }).catch((error: unknown) => error);
      await pause.reached();
      const cancel = cancelOperation(name);
      const { controlDirectory } = InstanceDirectory.of(name).paths;
      const records = async (): Promise<string[]> =>
        (await readdir(controlDirectory)).filter((file) => file.startsWith('patch-self'));
      await until('it to be given up', async () => (await records()).length === 2);
      await pause.goOn();
      expect(await cancel).toMatchObject({ operation: 'patch', id: null, outcome: 'rolled-back' });
      expect(await ended).toMatchObject({
        code: 1,
        stdout: expect.stringContaining('DBP_SWITCH_ROLLED_BACK') as string,
      });
      expect(await status(name)).toMatchObject({
        state: 'running',
        operation: null,
        proxy: { pid: proxy.pid },
      });
      expect(await records()).toEqual([]);
      expect(await cancelOperation(name)).toMatchObject({ operation: null, outcome: null });
      expect(await replaceSelf(name, silent)).toMatchObject({ from: { pid: proxy.pid } });
      expect(await records()).toEqual([]);
      await writer.progressed();
      await writer.finish();
    },
    60_000,
  );

  test('comes too late for one that has: it is completed', async () => {
    const { writer, before, ended, cancel } = await givenUpAt('too-late', 'handover.adopted');
    expect(cancel).toMatchObject({ operation: 'patch', id: 'handover-1', outcome: 'completed' });
    expect(ended).toMatchObject({ from: { pid: before }, sessions: { handed: 1, lost: 0 } });
    await writer.progressed();
    await writer.finish();
  }, 60_000);

  /** While the first proxy process is replaced by that command it is given up, which is too late; then `meanwhile`. */
  const tooLate = async (
    name: string,
    { pause, patch, meanwhile }: { pause: Pause; patch: [string, string[]]; meanwhile: () => Promise<void> },
  ): Promise<{ error: Record<string, string>; cancel: CancelResult }> => {
    const ended = promisify(execFile)(...patch).catch((error: unknown) => error);
    await pause.reached();
    const supervisor = await connectSupervisor(name);
    try {
      const cancel = supervisor.call('cancel', {});
      await supervisor.call('status', {});
      await meanwhile();
      await pause.goOn();
      const { stdout } = (await ended) as { stdout: string };
      return { error: JSON.parse(stdout) as Record<string, string>, cancel: await cancel };
    } finally {
      supervisor.close();
    }
  };

  test('of several writers, and behind the proxy no storage node can be started: the proxy was replaced', async () => {
    const name = 'no-nodes';
    const pause = new Pause('handover.successor.finish', live.home);
    const { url, proxy } = await pause.during(() => live.up(name, { writers: 2 }));
    const writer = await Writer.start(url);
    const node = join(live.home, 'node-of-a-while');
    await cp(process.execPath, node);
    const patch = [join(ROOT, 'bin/run.js'), 'patch', '--self', '--name', name, '--json'];
    const { error, cancel } = await tooLate(name, { pause, patch: [node, patch], meanwhile: () => rm(node) });
    const now = (await status(name)).proxy?.pid;
    expect(now).not.toBe(proxy.pid);
    expect(error).toMatchObject({
      code: 'DBP_ENV_NODE',
      message: expect.stringMatching(
        new RegExp(`ENOENT; the proxy was replaced, and runs as ${now}$`),
      ) as string,
    });
    expect(cancel).toMatchObject({ operation: 'patch', outcome: 'completed' });
    await writer.progressed();
    await writer.finish();
    expect(await replaceSelf(name, silent)).toMatchObject({
      nodes: [{ node: 's1' }, { node: 's2' }, { node: 's3' }],
    });
  }, 120_000);

  test('of several proxy processes, and the second one cannot be replaced: the first one was', async () => {
    const name = 'half';
    const pause = new Pause('handover.successor.finish', live.home);
    await pause.during(() => live.up(name, { proxies: 2 }));
    const build = await copyOfThisBuild();
    const patch = [join(build, 'bin/run.js'), 'patch', '--self', '--name', name, '--json'];
    const meanwhile = (): Promise<void> => rm(join(build, 'dist/proxy/proxy.js'));
    const { error, cancel } = await tooLate(name, { pause, patch: [process.execPath, patch], meanwhile });
    expect(error).toMatchObject({
      code: 'DBP_PROXY_HANDOVER',
      message: expect.stringMatching(
        /^the proxy was not replaced as a whole, .*; proxy \d+ was not: /,
      ) as string,
    });
    expect(cancel).toMatchObject({ operation: 'patch', outcome: 'completed' });
    const { type, message } = (await events(name)).findLast(({ data }) => data?.operation === 'handover-1')!;
    expect(type).toBe('operation.completed');
    expect(message).toMatch(/ serves in place of .*; proxy \d+ was not: /);
    expect(await replaceSelf(name, silent)).toMatchObject({ sessions: { lost: 0 } });
  }, 60_000);

  test.each([
    { step: 'handover.listening', lost: 1 },
    { step: 'handover.go', lost: 0 },
  ])(
    'the old process dies at $step: the new one serves, and what it has not got is lost',
    async (fault) => {
      const name = `orphan-${fault.lost}`;
      const { url, pause } = await pausing(name, fault.step);
      const old = (await status(name)).proxy?.pid ?? 0;
      const client = new pg.Client(url);
      client.on('error', silent);
      await client.connect();
      const patch = [join(ROOT, 'bin/run.js'), 'patch', '--self', '--name', name, '--json'];
      const ended = promisify(execFile)(process.execPath, patch).then(
        ({ stdout }) => ({ code: 0, stdout }),
        (error: unknown) => error as { code: number; stdout: string },
      );
      await pause.reached();
      const supervisor = await connectSupervisor(name);
      const cancel = supervisor.call('cancel', {});
      await supervisor.call('status', {});
      process.kill(old, 'SIGKILL');
      const { code, stdout } = await ended;
      expect(await cancel).toMatchObject({ operation: 'patch', id: 'handover-1', outcome: 'completed' });
      supervisor.close();
      const now = await status(name);
      expect(JSON.parse(stdout)).toMatchObject({
        schema: 'dbproxy.handover/1',
        from: { pid: old },
        to: { pid: now.proxy?.pid },
        sessions: { handed: 1 - fault.lost, lost: fault.lost },
      });
      expect(code).toBe(fault.lost);
      expect(now).toMatchObject({ state: 'running', proxy: { sessions: 1 - fault.lost } });
      const last = (await events(name)).findLast(({ data }) => data?.operation === 'handover-1');
      expect(last?.type).toBe('operation.completed');
      const answered = await client.query('select 1').then(
        () => true,
        () => false,
      );
      expect(answered).toBe(fault.lost === 0);
      await client.end().catch(silent);
    },
    60_000,
  );
});
