/** What goes wrong while a proxy's process is replaced: no session is owned by two processes, and only the dead lose theirs. */
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { EngineRecord } from '../../src/engine/index.js';
import { readProcessStat } from '../../src/engine/process-identity.js';
import type { DbproxyError } from '../../src/errors/index.js';
import type { Program } from '../../src/proxy/control-api.js';
import { connectPg, directTo, eventually, withPg } from '../support/clients.js';
import { PASSWORD, TestEngines, randomName } from '../support/engines.js';
import { Pause } from '../support/pause.js';
import { childrenOf, ENTRY, successorsOf, TestProxy, THIS_BUILD, waitForExit } from '../support/proxies.js';

const CLIENTS = 6;

let engines: TestEngines;
let primary: EngineRecord;
let proxy: TestProxy;
let clients: pg.Client[] = [];

beforeAll(async () => {
  engines = await TestEngines.open();
  primary = await engines.primary();
  await withPg(directTo(primary), (admin) => admin.query('create table counted (own int, n int)'));
});

afterAll(() => engines?.close());

afterEach(async () => {
  await Promise.all(clients.map((client) => client.end().catch(() => undefined)));
  clients = [];
  await proxy?.stop();
});

/** Each in a transaction of its own that it goes on with. */
const openTransactions = async (): Promise<void> => {
  clients = await Promise.all(Array.from({ length: CLIENTS }, () => connectPg(proxy.url())));
  await Promise.all(
    clients.map((client, own) => client.query(`begin; insert into counted values (${own}, 1)`)),
  );
};

/** How many go on where they were, to the end of their transactions. */
const survivors = async (): Promise<number> => {
  const ends = await Promise.allSettled(
    clients.map((client, own) => client.query(`insert into counted values (${own}, 2); commit`)),
  );
  const alive = ends.flatMap(({ status }, own) => (status === 'fulfilled' ? [own] : []));
  await withPg(directTo(primary), async (admin) => {
    // The engine notices at once who is gone.
    await eventually('the transactions of the dead to be gone', async () => {
      const { rowCount } = await admin.query(`select from pg_stat_activity where xact_start is not null
        and pid <> pg_backend_pid() and backend_type = 'client backend'`);
      return rowCount === 0;
    });
    const { rows } = await admin.query<{ own: number; n: number[] }>(
      'select own, array_agg(n order by n) as n from counted group by own order by own',
    );
    expect(rows).toEqual(alive.map((own) => ({ own, n: [1, 2] })));
    await admin.query('truncate counted');
  });
  return alive.length;
};

describe('a successor that cannot take over: the process that runs goes on', () => {
  /** A program that does `lines` and then, maybe, is the proxy (`@PROXY`). */
  const script = async (lines: string): Promise<Program> => {
    const main = join(engines.home, `${randomName()}.sh`);
    await writeFile(main, lines.replaceAll('@PROXY', `${process.execPath} ${ENTRY}`));
    await chmod(main, 0o755);
    return { node: '/bin/sh', main };
  };

  /** The proxy of a build that does this where a session is restored. */
  const build = async (restore: string): Promise<Program> => {
    const main = join(engines.home, `${randomName()}.mjs`);
    const lines = [
      `import { Session } from ${JSON.stringify(new URL('session.js', pathToFileURL(ENTRY)).href)};`,
      `Session.prototype.restore = () => { ${restore} };`,
      `await import(${JSON.stringify(ENTRY)});`,
    ];
    await writeFile(main, lines.join('\n'));
    return { node: process.execPath, main };
  };

  const SPEAKS_ANOTHER_FORMAT = `
    process.send({ kind: 'hello', body: { formats: [99], version: '9.9.9', fastPath: true, descriptors: 1e9 } });
    process.on('message', () => undefined);`;

  it('cannot bind its control socket', async () => {
    proxy = await TestProxy.start(engines, primary);
    await openTransactions();
    const before = proxy.pid;
    const taken = ['~', '+'].map((suffix) => join(`${proxy.controlSocket}${suffix}`, 'of somebody'));
    for (const directory of taken) await mkdir(directory, { recursive: true });
    await expect(proxy.handOver()).rejects.toThrow(/directory/i);
    await proxy.reconnect();
    expect(proxy.pid).toBe(before);
    expect(successorsOf(before)).toEqual([]);
    expect(await survivors()).toBe(CLIENTS);
    for (const suffix of ['~', '+']) await rm(`${proxy.controlSocket}${suffix}`, { recursive: true });
    await openTransactions();
    expect((await proxy.handOver()).pid).not.toBe(before);
    expect(await survivors()).toBe(CLIENTS);
  });

  it.each([
    {
      what: 'does not exist',
      reason: /cannot be started: .*ENOENT/,
      program: () => ({ node: '/no/node', main: ENTRY }),
    },
    { what: 'ends at once', reason: /ended \(exit 7\)/, program: () => script('exit 7') },
    {
      what: 'fails its self-test',
      reason: /self-test/,
      program: () => script('export DBPROXY_FAST_PATH=0; exec @PROXY'),
    },
    {
      what: 'reads other formats only',
      reason: /version 9\.9\.9 reads formats 99, not \d/,
      program: async () => {
        const main = join(engines.home, `${randomName()}.cjs`);
        await writeFile(main, SPEAKS_ANOTHER_FORMAT);
        return { node: process.execPath, main };
      },
    },
    {
      what: 'may not open enough files',
      reason: /12 file descriptors are needed there, \d+ are free/,
      program: () => script('ulimit -n 95; exec @PROXY'),
    },
    {
      what: 'cannot build a session',
      reason: /cannot take over session 1: a fault of the new build/,
      program: () => build(`throw new Error('a fault of the new build')`),
    },
    {
      what: 'ends as it builds a session',
      reason: /ended \(exit 7\)/,
      program: () => build('process.exit(7)'),
    },
  ])('$what', async ({ reason, program }) => {
    proxy = await TestProxy.start(engines, primary);
    await openTransactions();
    const before = proxy.pid;
    await expect(proxy.handOver(await program())).rejects.toThrow(reason);
    await proxy.reconnect();
    expect(proxy.pid).toBe(before);
    expect(successorsOf(before)).toEqual([]);
    expect(await survivors()).toBe(CLIENTS);
    await withPg(proxy.url(), (client) => client.query('select 1'));
    // And then, with a build that works:
    expect((await proxy.handOver()).pid).not.toBe(before);
  });
});

describe('a handover that is given up', () => {
  const begin = async (step: string): Promise<{ pause: Pause; old: number; outcome: Promise<string> }> => {
    const pause = new Pause(step, engines.home);
    proxy = await TestProxy.start(engines, primary, { env: pause.env });
    await openTransactions();
    const outcome = proxy.control.call('handover', { program: THIS_BUILD }).then(
      () => 'done',
      (error: DbproxyError) => error.code,
    );
    return { pause, old: proxy.pid, outcome };
  };

  it.each(['handover.hello', 'handover.prepared', 'handover.successor.prepared'])(
    'at %s: everybody goes on in the process that runs, which can be replaced later',
    async (step) => {
      const { pause, old, outcome } = await begin(step);
      await pause.reached();
      await proxy.control.call('giveUpHandover', {});
      await pause.goOn();
      expect(await outcome).toBe('DBP_SWITCH_ROLLED_BACK');
      expect(successorsOf(old)).toEqual([]);
      await proxy.reconnect();
      expect(proxy.pid).toBe(old);
      expect(await survivors()).toBe(CLIENTS);
      expect((await proxy.handOver()).pid).not.toBe(old);
    },
  );

  it('does not wait for a new process that never answers', async () => {
    proxy = await TestProxy.start(engines, primary);
    await openTransactions();
    const main = join(engines.home, `${randomName()}.cjs`);
    await writeFile(main, `process.on('message', () => undefined);`);
    const refused = proxy.control.call('handover', { program: { node: process.execPath, main } });
    refused.catch(() => undefined);
    await eventually('it to be started', () => childrenOf(proxy.pid).length === 1);
    await proxy.control.call('giveUpHandover', {});
    await expect(refused).rejects.toMatchObject({ code: 'DBP_SWITCH_ROLLED_BACK' });
    expect(childrenOf(proxy.pid)).toEqual([]);
    expect(await survivors()).toBe(CLIENTS);
  });

  it.each(['handover.listening', 'handover.go'])(
    'at %s it is too late: it comes to its end',
    async (step) => {
      const { pause, old, outcome } = await begin(step);
      await pause.reached();
      await proxy.control.call('giveUpHandover', {});
      await pause.goOn();
      expect(await outcome).toBe('done');
      await proxy.reconnect();
      expect(proxy.pid).not.toBe(old);
      expect(await survivors()).toBe(CLIENTS);
    },
  );

  it('there is none: nothing happens', async () => {
    proxy = await TestProxy.start(engines, primary);
    expect(await proxy.control.call('giveUpHandover', {})).toBeNull();
    await proxy.handOver();
  });
});

/** `survive`: sessions, of CLIENTS in batches of 1, 2 and 3; the pause is in the first batch. */
const KILLS = [
  { kill: 'new', at: 'handover.hello', survive: CLIENTS },
  { kill: 'new', at: 'handover.prepared', survive: CLIENTS },
  { kill: 'new', at: 'handover.listening', survive: CLIENTS },
  { kill: 'new', at: 'handover.sockets', survive: CLIENTS },
  { kill: 'new', at: 'handover.sessions', survive: CLIENTS },
  { kill: 'new', at: 'handover.adopted', survive: CLIENTS },
  { kill: 'new', at: 'handover.go', survive: CLIENTS - 1 },
  { kill: 'new', at: 'handover.successor.prepared', survive: CLIENTS },
  { kill: 'new', at: 'handover.successor.listening', survive: CLIENTS },
  { kill: 'new', at: 'handover.successor.adopted', survive: CLIENTS },
  { kill: 'new', at: 'handover.successor.go', survive: CLIENTS - 1 },
  { kill: 'new', at: 'handover.successor.finish', survive: 0 },
  { kill: 'old', at: 'handover.hello', survive: 0 },
  { kill: 'old', at: 'handover.prepared', survive: 0 },
  { kill: 'old', at: 'handover.listening', survive: 0 },
  { kill: 'old', at: 'handover.sockets', survive: 0 },
  { kill: 'old', at: 'handover.sessions', survive: 1 },
  { kill: 'old', at: 'handover.adopted', survive: 1 },
  { kill: 'old', at: 'handover.go', survive: 1 },
  { kill: 'old', at: 'handover.successor.listening', survive: 0 },
  { kill: 'old', at: 'handover.successor.adopted', survive: 1 },
  { kill: 'old', at: 'handover.successor.go', survive: 1 },
  { kill: 'old', at: 'handover.successor.finish', survive: CLIENTS },
] as const;

describe('kill -9 in the middle', () => {
  it.each(KILLS)('of the $kill process at $at: $survive sessions go on', async ({ kill, at, survive }) => {
    const pause = new Pause(at, engines.home);
    proxy = await TestProxy.start(engines, primary, { env: pause.env });
    const old = proxy.pid;
    await openTransactions();
    const handover = proxy.control.call('handover', { program: { node: process.execPath, main: ENTRY } });
    const outcome = handover.then(
      () => 'done',
      (error: Error) => error.message,
    );
    await pause.reached();
    const [successor] = successorsOf(old);
    expect(successor).toBeDefined();
    process.kill(kill === 'new' ? successor! : old, 'SIGKILL');
    // Until its parent has collected it: a process can be a zombie while a thread of it still holds its files.
    const killed = kill === 'new' ? successor! : old;
    await eventually('its end', () => readProcessStat(killed) === null);
    await pause.goOn();

    expect(await outcome).not.toBe('done');
    const anyoneLeft = kill === 'new' || survivesAlone(at);
    if (!anyoneLeft) {
      // The port is free for a proxy that the supervisor starts anew.
      await waitForExit(successor!);
      expect(await survivors()).toBe(0);
      return;
    }
    await proxy.reconnect();
    expect(proxy.pid).toBe(kill === 'new' ? old : successor);
    expect(await survivors()).toBe(survive);
    // Whoever is left accepts, on both of its sockets.
    await withPg(proxy.url(), (client) => client.query('select 1'));
    await withPg(
      { ...directTo(primary), host: proxy.socketDirectory, port: proxy.port, password: 'correct horse' },
      (client) => client.query('select 1'),
    );
  });
});

/** `busy`: the session that is in the middle of a statement, from 0 in the order in which they go over. */
const LEFT_RUNNING = [
  { dies: 'new', at: 'handover.go', busy: 0 },
  { dies: 'new', at: 'handover.successor.finish', busy: CLIENTS - 1 },
  { dies: 'old', at: 'handover.sockets', busy: 0 },
  { dies: 'old', at: 'handover.sockets', busy: CLIENTS - 1 },
] as const;

/** Locks, and comes to no end. */
const runForEver = async (client: pg.Client): Promise<{ runs: Promise<unknown> }> => {
  const runs = client.query('begin; lock table counted; select pg_sleep(600)');
  runs.catch(() => undefined);
  await withPg(directTo(primary), (admin) =>
    eventually('it to run', async () => {
      const { rowCount } = await admin.query(`select from pg_stat_activity where wait_event = 'PgSleep'`);
      return rowCount === 1;
    }),
  );
  return { runs };
};

const lockIsFree = (): Promise<void> =>
  withPg(directTo(primary), async (admin) => {
    await eventually('the lock to be free', () =>
      admin.query(`set lock_timeout = '1s'; select from counted`).catch(() => null),
    );
  });

const kill = async (pid: number): Promise<void> => {
  process.kill(pid, 'SIGKILL');
  await eventually('its end', () => readProcessStat(pid) === null);
};

describe('a statement whose session died with its process', () => {
  it.each(LEFT_RUNNING)('keeps no lock: the $dies one at $at, session $busy', async ({ dies, at, busy }) => {
    const pause = new Pause(at, engines.home);
    proxy = await TestProxy.start(engines, primary, { env: pause.env });
    const old = proxy.pid;
    for (let own = 0; own < CLIENTS; own++) clients.push(await connectPg(proxy.url()));
    const { runs } = await runForEver(clients[busy]!);
    const outcome = proxy.control.call('handover', { program: THIS_BUILD }).catch((error: Error) => error);
    await pause.reached();
    await kill(dies === 'new' ? successorsOf(old)[0]! : old);
    await pause.goOn();
    expect(await outcome).toBeInstanceOf(Error);
    await expect(runs).rejects.toThrow();
    await lockIsFree();
    await proxy.reconnect();
  });

  it('keeps no lock: that of a client who came to the new one', async () => {
    const pause = new Pause('handover.go', engines.home);
    proxy = await TestProxy.start(engines, primary, { env: pause.env });
    const old = proxy.pid;
    for (let own = 0; own < CLIENTS; own++) clients.push(await connectPg(proxy.url()));
    const outcome = proxy.control.call('handover', { program: THIS_BUILD }).catch((error: Error) => error);
    await pause.reached();
    const [left, stays] = [await connectPg(proxy.url()), await connectPg(proxy.url())];
    await left.end();
    const { runs } = await runForEver(stays);
    await kill(successorsOf(old)[0]!);
    await pause.goOn();
    // The first one that went over, and this one.
    expect(await outcome).toMatchObject({
      message: expect.stringMatching(/; 2 sessions died with it$/) as string,
    });
    await expect(runs).rejects.toThrow();
    await lockIsFree();
    await proxy.reconnect();
  });

  it('keeps no lock: that of a client who was still logging in to the old one', async () => {
    const pause = new Pause('handover.successor.listening', engines.home);
    proxy = await TestProxy.start(engines, primary, { env: pause.env });
    const old = proxy.pid;
    let tell: (password: string) => void = () => undefined;
    let isAsked = false;
    const told = new Promise<string>((resolve) => (tell = resolve));
    const client = new pg.Client({
      ...{ host: '127.0.0.1', port: proxy.port, user: 'postgres', database: 'postgres' },
      password: () => {
        isAsked = true;
        return told;
      },
    });
    client.on('error', () => undefined);
    clients.push(client);
    const connected = client.connect();
    connected.catch(() => undefined);
    await eventually('it to be asked for its password', () => isAsked);
    const outcome = proxy.control.call('handover', { program: THIS_BUILD }).catch((error: Error) => error);
    await pause.reached();
    tell(PASSWORD);
    await connected;
    const { runs } = await runForEver(client);
    await kill(old);
    await pause.goOn();
    expect(await outcome).toBeInstanceOf(Error);
    await expect(runs).rejects.toThrow();
    await lockIsFree();
    await proxy.reconnect();
    expect(proxy.pid).not.toBe(old);
  });
});

/** From when it listens on, the successor goes on without its predecessor. */
const survivesAlone = (at: string): boolean => !/^handover\.(hello|prepared)$/.test(at);
