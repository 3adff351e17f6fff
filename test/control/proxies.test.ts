/** `up --proxies`: several proxy processes on one port, with the real supervisor and engines, asked and moved as one. */
import { readdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connectSupervisor, startInstance, stopInstance } from '../../src/control/client.js';
import { InstanceDirectory } from '../../src/control/instance-directory.js';
import { replaceSelf } from '../../src/control/replace-self.js';
import { trace } from '../../src/control/trace.js';
import { Pause } from '../support/pause.js';
import {
  events,
  freePort,
  isRunning,
  killSupervisor,
  LiveHome,
  Load,
  pausing,
  processesBelow,
  scale,
  SCALE,
  status,
  until,
  Writer,
} from './live.js';

const NAME = 'several';
const PROCESSES = 3;
/** Connections to each process. */
const EACH = 2;
const silent = (): void => undefined;

let live: LiveHome;
let url: string;
let metricsPort: number;
beforeAll(async () => {
  live = await LiveHome.open();
  metricsPort = await freePort();
  ({ url } = await live.up(NAME, { proxies: PROCESSES, metricsPort }));
});
afterAll(() => live.close());

/** Of each process, in their order: its pid and how many sessions it has. */
const processes = async (name = NAME): Promise<{ pid: number; sessions: number }[]> =>
  ((await status(name)).proxy?.processes ?? []).map(({ pid, sessions }) => ({ pid, sessions }));

/** What `connect` opens, in that process: the kernel gives a connection to whoever asks first, so the others stand still meanwhile. */
async function inProcess<T>(name: string, place: number, connect: () => Promise<T>): Promise<T> {
  const others = (await processes(name)).filter((_, index) => index !== place);
  for (const { pid } of others) process.kill(pid, 'SIGSTOP');
  try {
    return await connect();
  } finally {
    for (const { pid } of others) process.kill(pid, 'SIGCONT');
  }
}

const open = async (): Promise<pg.Client> => {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  return client;
};

/** Whose session that is: the key of its cancel requests says it. */
const placeOf = (client: pg.Client, count = PROCESSES): number =>
  (client as unknown as { processID: number }).processID % count;

/** Clients of each process. */
class Clients {
  static #open = 0;
  readonly all: pg.Client[] = [];
  /** One of each process, in their order. */
  readonly one: pg.Client[] = [];

  static async open(): Promise<Clients> {
    const clients = new Clients();
    for (let place = 0; place < PROCESSES; place++) {
      const more = await inProcess(NAME, place, () => Promise.all(Array.from({ length: EACH }, open)));
      expect(more.map((client) => placeOf(client))).toEqual(more.map(() => place));
      clients.all.push(...more);
      clients.one.push(more[0]!);
      Clients.#open += more.length;
    }
    expect((await processes()).every(({ sessions }) => sessions >= EACH)).toBe(true);
    return clients;
  }

  /** Resolves when their sessions are gone, too. */
  async close(): Promise<void> {
    await Promise.all(this.all.map((client) => client.end().catch(() => undefined)));
    Clients.#open -= this.all.length;
    await until('their sessions are gone', async () => {
      const { sessions } = await status(NAME);
      return sessions.filter(({ application }) => application === '').length <= Clients.#open;
    });
  }
}

const other = async (): Promise<'large' | 'small'> =>
  (await status(NAME)).engines[0]?.size === 'large' ? 'small' : 'large';

test('one port, three processes: every look at the instance sees all of them', async () => {
  const clients = await Clients.open();
  const now = await status(NAME);
  const pids = (await processes()).map(({ pid }) => pid);
  expect(new Set(pids).size).toBe(PROCESSES);
  expect(now.proxy).toMatchObject({ pid: pids[0], sessions: clients.all.length });
  expect(new Set(now.sessions.map(({ id }) => id)).size).toBe(clients.all.length);

  const supervisor = await connectSupervisor(NAME);
  expect((await supervisor.call('sessions', {})).sessions).toHaveLength(clients.all.length);
  const check = await supervisor.call('check', { withinMs: 1_000 });
  expect(check.sessions.map(({ id }) => id)).toEqual(now.sessions.map(({ id }) => id));
  for (const { id } of now.sessions.slice(0, PROCESSES))
    expect(await supervisor.call('session', { id, withinMs: 1_000 })).toMatchObject({ session: { id } });
  supervisor.close();

  const figures = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  for (const { pid, sessions } of await processes())
    expect(figures).toContain(`dbproxy_proxy_sessions{pid="${pid}",instance_name="${NAME}"} ${sessions}`);
  expect(figures).toMatch(new RegExp(`dbproxy_sessions_total\\{[^}]*\\} ${clients.all.length + 1}\n`));

  const console = new pg.Client({ connectionString: url.replace(/\/postgres$/, '/dbproxy') });
  await console.connect();
  const { rows: sessions } = await console.query<{ id: string }>('show sessions');
  expect(sessions.map(({ id }) => Number(id))).toEqual(now.sessions.map(({ id }) => id));
  const { rows: proxies } = await console.query<{ pid: string; answers_here: string }>('show proxies');
  expect(proxies.map(({ pid }) => Number(pid)).sort()).toEqual(pids.toSorted());
  expect(proxies.filter(({ answers_here }) => answers_here === 'yes')).toHaveLength(1);
  const { rows: engines } = await console.query<{ sessions: string }>('show engines');
  expect(engines.map((row) => Number(row.sessions))).toEqual([clients.all.length]);
  await console.end();
  await clients.close();
});

test('the Unix socket is shared, too, and so is TLS', async () => {
  const shared = await live.up('shared', { proxies: 2, tls: 'on' });
  const { password, username: user } = new URL(shared.url);
  const ways = [
    { host: shared.socketDir, ssl: false },
    { host: '127.0.0.1', ssl: { rejectUnauthorized: false } },
  ];
  const clients: pg.Client[] = [];
  for (const way of ways) {
    for (const place of [0, 1]) {
      const client = new pg.Client({ ...way, port: shared.port, user, password, database: 'postgres' });
      await inProcess('shared', place, () => client.connect());
      clients.push(client);
      expect(placeOf(client, 2)).toBe(place);
    }
  }
  const { sessions } = await status('shared');
  expect(sessions.map(({ tls }) => tls ?? 'none').sort()).toEqual(
    clients.map(({ ssl }) => (ssl ? 'TLSv1.3' : 'none')).sort(),
  );
  expect(await scale('shared', 'medium')).toMatchObject({ outcome: 'completed', error: null });
  const { sessions: handed } = await replaceSelf('shared', silent);
  expect(handed).toMatchObject({ handed: clients.length, lost: 0 });
  await Promise.all(clients.map((client) => client.query('select 1')));
  await Promise.all(clients.map((client) => client.end()));
  await stopInstance('shared', { purge: true });
}, 120_000);

test('trace: what passes through each of the processes', async () => {
  const clients = await Clients.open();
  const seen = new Set<number>();
  const stop = new AbortController();
  const tracing = trace(NAME, {
    ...{ values: false, signal: stop.signal, onAway: silent },
    onLines: ({ lines }) => lines.forEach(({ session }) => seen.add(session % PROCESSES)),
  });
  await until('messages of each', async () => {
    await Promise.all(clients.one.map((client) => client.query('select 1')));
    return seen.size === PROCESSES;
  });
  stop.abort();
  await tracing;
  await clients.close();
});

describe('to another engine', () => {
  test('under load: sessions of each process move with their state, the ledger is exact, nobody is disconnected', async () => {
    const load = await Load.start(url, 1);
    const clients = await Clients.open();
    for (const [index, client] of clients.one.entries()) {
      await client.query(`create temp table mine as select ${index} as n`);
      await client.query(
        `set app.place = '${index}'; listen bell_${index}; select pg_advisory_lock(${index})`,
      );
      await client.query({ name: 'sum', text: `select $1::int + ${index} as n`, values: [1] });
    }
    const total = clients.all.length + 8;
    const moved = await scale(NAME, await other());
    expect(moved).toMatchObject({
      ...{ outcome: 'completed', error: null },
      sessions: { total, moved: total, failed: [], dropped: 0 },
      holdMs: { count: total },
      stateMoved: { tempTables: 3, listens: 3, advisoryLocks: 3 },
    });
    for (const [index, client] of clients.one.entries()) {
      expect((await client.query('select n from mine')).rows).toEqual([{ n: index }]);
      expect((await client.query('show app.place')).rows).toEqual([{ 'app.place': String(index) }]);
      const sum = { name: 'sum', text: `select $1::int + ${index} as n`, values: [1] };
      expect((await client.query(sum)).rows).toEqual([{ n: 1 + index }]);
      // Whose process that is does not matter.
      const next = clients.one[(index + 1) % PROCESSES];
      const tried = await next?.query<{ got: boolean }>(`select pg_try_advisory_lock(${index}) as got`);
      expect(tried?.rows).toEqual([{ got: false }]);
      const heard = new Promise((resolve) => client.once('notification', ({ channel }) => resolve(channel)));
      await next?.query(`notify bell_${index}`);
      expect(await heard).toBe(`bell_${index}`);
    }
    expect(new Set((await status(NAME)).sessions.map(({ engine }) => engine)).size).toBe(1);
    await clients.close();
    await load.expectUndisturbed();
    await until('no decision is left', async () => (await leftDecisions()).length === 0);
  }, 120_000);

  test('in place, too', async () => {
    const load = await Load.start(url, 1);
    const clients = await Clients.open();
    for (const client of clients.one) await client.query('create temp table kept as select 7 as n');
    const supervisor = await connectSupervisor(NAME);
    const { postgres = '' } = (await status(NAME)).engines[0] ?? {};
    const size = await other();
    const move = await supervisor.call('patch', { ...SCALE, strategy: 'in-place', to: postgres, size });
    supervisor.close();
    expect(move).toMatchObject({ outcome: 'completed', error: null, stateMoved: { tempTables: 3 } });
    for (const client of clients.one)
      expect((await client.query('select n from kept')).rows).toEqual([{ n: 7 }]);
    await clients.close();
    await load.expectUndisturbed();
  }, 120_000);

  test('a lock that goes from process to process is never held twice', async () => {
    const clients = await Clients.open();
    let holder: pg.Client | null = null;
    let turns = 0;
    let stop = false;
    const workers = new Set([...clients.one, ...clients.all.slice(-12)]);
    const work = [...workers].map(async (client) => {
      while (!stop) {
        await client.query('select pg_advisory_lock(4711)');
        expect(holder).toBeNull();
        holder = client;
        await client.query('select 1');
        turns++;
        expect(holder).toBe(client);
        holder = null;
        await client.query('select pg_advisory_unlock(4711)');
      }
    });
    for (const each of work) each.catch(() => (stop = true));
    await until('turns', () => turns > 20);
    for (let i = 0; i < 3; i++) {
      expect(await scale(NAME, await other())).toMatchObject({ outcome: 'completed', error: null });
      const before = turns;
      await until('turns afterwards', () => stop || turns > before + 20);
    }
    stop = true;
    await Promise.all(work);
    await clients.close();
  }, 120_000);

  test('a transaction in one process: nobody moves, in no process; a session that cannot move is named', async () => {
    const clients = await Clients.open();
    const [first] = (await status(NAME)).engines;
    const last = clients.one.at(-1);
    await last?.query('begin');
    const limits = { holdBudgetMs: 200, deadlineMs: 1_000 };
    const move = await scale(NAME, await other(), limits);
    expect(move).toMatchObject({ outcome: 'rolled-back', error: { code: 'DBP_SWITCH_DEADLINE' } });
    expect(move.error?.message).toContain('idle in a transaction');
    expect((await status(NAME)).engines.map(({ id }) => id)).toEqual([first?.id]);
    await Promise.all(clients.all.map((client) => client.query('select 1')));
    await last?.query('rollback');
    await clients.close();
  }, 60_000);
});

const leftDecisions = async (): Promise<string[]> => {
  const { controlDirectory } = InstanceDirectory.of(NAME).paths;
  return (await readdir(controlDirectory)).filter((name) => name.startsWith('switch-'));
};

/** Sockets that a process has open. */
const socketsOf = async (pid: number): Promise<number> => (await readdir(`/proc/${pid}/fd`)).length;

test('a transaction that was canceled in one of them: everybody moves, and the record names its session', async () => {
  const clients = await Clients.open();
  const [, holder] = clients.one;
  await holder!.query('begin');
  const limits = { holdBudgetMs: 1_000, deadlineMs: 4_000, onTimeout: 'cancel' } as const;
  const { outcome, sessions } = await scale(NAME, await other(), limits);
  expect({ outcome, failed: sessions.failed }).toEqual({ outcome: 'completed', failed: [] });
  expect(sessions.canceled).toHaveLength(1);
  expect(sessions.canceled?.[0]?.reason).toMatch(/^has been idle in a transaction/);
  await expect(holder!.query('commit')).rejects.toMatchObject({ code: '40001' });
  await clients.close();
});

test('a cancel request that comes to another process reaches the session', async () => {
  const clients = await Clients.open();
  for (const [index, client] of clients.one.entries()) {
    const now = await processes();
    const owner = now[index]?.pid ?? 0;
    const others = now.filter(({ pid }) => pid !== owner).map(({ pid }) => pid);
    const { processID, secretKey } = client as unknown as { processID: number; secretKey: number };
    const slept = client.query('select pg_sleep(60)').catch((error: { code?: string }) => error.code);
    await until('the statement runs', async () =>
      (await status(NAME)).sessions.some(({ query, state }) => query?.includes('60') && state === 'active'),
    );
    // It cannot take the request itself.
    process.kill(owner, 'SIGSTOP');
    const opened = async (): Promise<number> =>
      (await Promise.all(others.map(socketsOf))).reduce((sum, count) => sum + count, 0);
    const before = await opened();
    const request = Buffer.alloc(16);
    [16, 80_877_102, processID, secretKey].forEach((value, at) => request.writeInt32BE(value, at * 4));
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    socket.on('error', () => undefined).write(request);
    await until('another one has it', async () => (await opened()) > before);
    process.kill(owner, 'SIGCONT');
    expect(await slept).toBe('57014');
    socket.destroy();
  }
  await clients.close();
}, 60_000);

test('kill -9 of one process: its sessions are gone, the others do not notice, another one takes its place', async () => {
  for (let index = 0; index < PROCESSES; index++) {
    const clients = await Clients.open();
    const before = await processes();
    const victim = before[index]?.pid ?? 0;
    const lost = new Set((await status(NAME)).sessions.filter(({ id }) => (id - 1) % PROCESSES === index));
    expect(lost.size).toBeGreaterThan(0);
    process.kill(victim, 'SIGKILL');
    await until('another one is there', async () => {
      const now = await processes();
      return (
        now.length === PROCESSES && now[index]?.pid !== victim && (await status(NAME)).state === 'running'
      );
    });
    const now = (await processes()).map(({ pid }) => pid);
    expect(now.toSpliced(index, 1)).toEqual(before.map(({ pid }) => pid).toSpliced(index, 1));
    const answers = await Promise.all(
      clients.all.map((client) =>
        client.query('select 1').then(
          () => true,
          () => false,
        ),
      ),
    );
    expect(answers.filter((answered) => !answered)).toHaveLength(lost.size);
    // The new one serves as the others do, and moves with them.
    const again = await Clients.open();
    expect(await scale(NAME, await other())).toMatchObject({ outcome: 'completed', error: null });
    await Promise.all(again.all.map((client) => client.query('select 1')));
    await Promise.all([clients.close(), again.close()]);
  }
  const reported = (await events(NAME)).filter(({ type }) => type === 'proxy.lost');
  expect(reported.length).toBeGreaterThanOrEqual(PROCESSES);
}, 120_000);

describe('what the sessions of a process that dies were doing in the engine ends with it', () => {
  /** Row n is locked by its client, whose statement does not end by itself. */
  const runOn = async (client: pg.Client, n: number): Promise<{ ended: Promise<string>; pid: number }> => {
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
    await client.query('begin');
    await client.query('update rows_of set by = by + 1 where n = $1', [n]);
    await client.query('select pg_advisory_lock($1)', [9_000 + n]);
    const ended = client.query('select pg_sleep(600)').then(
      () => 'answered',
      (error: { code?: string }) => (error.code === '57014' ? 'canceled' : 'cut off'),
    );
    return { ended, pid: rows[0]!.pid };
  };
  const isThere = async (client: pg.Client, pid: number): Promise<boolean> =>
    (await client.query('select from pg_stat_activity where pid = $1', [pid])).rowCount === 1;
  const kill = async (places: readonly number[]): Promise<void> => {
    const before = await processes();
    for (const place of places) process.kill(before[place]!.pid, 'SIGKILL');
    await until('others take their place', async () => {
      const now = await processes();
      const replaced = places.every((place) => now[place] && now[place].pid !== before[place]!.pid);
      return now.length === PROCESSES && replaced && (await status(NAME)).state === 'running';
    });
  };
  const nothing = async (): Promise<void> => undefined;

  test.each([
    { places: [0], after: 'nothing', before: nothing },
    { places: [1, 2], after: 'nothing', before: nothing },
    { places: [0, 1, 2], after: 'nothing', before: nothing },
    { places: [1], after: 'a scale', before: async () => void (await scale(NAME, await other())) },
    { places: [2], after: 'patch --self', before: async () => void (await replaceSelf(NAME, silent)) },
    { places: [1], after: 'the end of the one before it', before: () => kill([1]) },
  ])(
    'processes $places, after $after: their locks are free, statements of the others run on',
    async ({ places, before }) => {
      const setUp = await Clients.open();
      await setUp.one[0]!.query('drop table if exists rows_of');
      await setUp.one[0]!.query('create table rows_of as select n, 0 as by from generate_series(0, 9) n');
      await before();
      const isSame = !(
        await Promise.all(setUp.one.map((one) => one.query('select').catch(() => null)))
      ).includes(null);
      const clients = isSame ? setUp : await Clients.open();
      try {
        const running = await Promise.all(clients.one.map((client, n) => runOn(client, n)));
        await kill(places);
        const after = await open();
        await after.query(`set lock_timeout = '20s'`);
        for (const place of places) {
          await after.query('update rows_of set by = by + 1 where n = $1', [place]);
          await after.query('select pg_advisory_lock($1)', [9_000 + place]);
        }
        for (const [place, { pid, ended }] of running.entries()) {
          const isLost = places.includes(place);
          expect(await isThere(after, pid)).toBe(!isLost);
          if (!isLost) await after.query('select pg_cancel_backend($1)', [pid]);
          expect(await ended).toBe(isLost ? 'cut off' : 'canceled');
        }
        await after.end();
      } finally {
        if (clients !== setUp) await setUp.close();
        await clients.close();
      }
    },
    120_000,
  );

  test('not a backend that has the number of one that is long gone, or of one on another engine', async () => {
    const clients = await Clients.open();
    const [first, victim] = clients.one;
    const { rows } = await first!.query<{ pid: number; begun: number }>(
      'select pid, extract(epoch from backend_start)::float8 as begun from pg_stat_activity where pid = pg_backend_pid()',
    );
    const { pid, begun } = rows[0]!;
    const engine = (await status(NAME)).engines[0]!.id;
    const entries = [
      { engine, knownAtS: begun - 60 },
      { engine: 'e999', knownAtS: begun + 60 },
    ].map((each) => {
      const entry = Buffer.alloc(32);
      entry.writeUInt32LE(pid, 0);
      entry.writeDoubleLE(each.knownAtS, 4);
      entry.write(each.engine, 12);
      return entry;
    });
    const { controlDirectory } = InstanceDirectory.of(NAME).paths;
    const files = async (): Promise<string[]> =>
      (await readdir(controlDirectory)).filter((name) => name.startsWith('backends-2-'));
    await writeFile(join(controlDirectory, 'backends-2-before'), Buffer.concat(entries));
    await kill([1]);
    await expect(victim!.query('select 1')).rejects.toThrow();
    expect((await first!.query<{ pid: number }>('select pg_backend_pid() as pid')).rows).toEqual([{ pid }]);
    expect(await files()).toHaveLength(1);
    await clients.close();
  });
});

describe('in the middle of a switch', () => {
  const begin = async (step: string): Promise<{ ended: Promise<unknown>; goOn: () => Promise<void> }> => {
    const pause = new Pause(step, live.home);
    const size = await other();
    const supervisor = await pausing(NAME, pause);
    const ended = supervisor
      .call('scale', { ...SCALE, holdBudgetMs: 5_000, to: size })
      .catch((error: unknown) => error)
      .finally(() => supervisor.close());
    await pause.reached();
    return { ended, goOn: () => pause.goOn() };
  };
  const primary = async (): Promise<string | undefined> =>
    (await status(NAME)).engines.find(({ role }) => role === 'primary')?.id;

  test.each([
    ['warm', 'rolled-back'],
    ['fence', 'rolled-back'],
    // Nobody waits for it any more once all are prepared: the others decide without it.
    ['group.prepared', 'completed'],
  ])(
    'a process is killed at %s: %s, and the others go on',
    async (step, outcome) => {
      const clients = await Clients.open();
      const before = await primary();
      const { ended, goOn } = await begin(step);
      process.kill((await processes())[1]?.pid ?? 0, 'SIGKILL');
      await goOn();
      expect(await ended).toMatchObject({ outcome });
      expect((await primary()) === before).toBe(outcome === 'rolled-back');
      for (const index of [0, 2]) await clients.one[index]?.query('create temp table writes (n int)');
      await clients.close();
      await until('all are there', async () => (await processes()).length === PROCESSES);
    },
    120_000,
  );

  test('a process is killed after the decision: the others move, its sessions are named', async () => {
    const clients = await Clients.open();
    const { ended, goOn } = await begin('promote');
    const lost = (await status(NAME)).sessions.filter(({ id }) => (id - 1) % PROCESSES === 1);
    process.kill((await processes())[1]?.pid ?? 0, 'SIGKILL');
    await goOn();
    const move = (await ended) as Awaited<ReturnType<typeof scale>>;
    expect(move).toMatchObject({ outcome: 'completed' });
    expect(move.sessions.failed.map(({ id }) => id).sort()).toEqual(lost.map(({ id }) => id).sort());
    for (const index of [0, 2]) await clients.one[index]?.query('create temp table writes (n int)');
    await clients.close();
    await until('all are there', async () => (await processes()).length === PROCESSES);
  }, 120_000);

  test.each([
    ['fence', 'stay'],
    ['group.prepared', 'stay'],
    ['group.decided', 'go over'],
    ['promote', 'go over'],
    ['move', 'go over'],
  ])(
    'the supervisor is killed at %s: all processes %s',
    async (step, where) => {
      const clients = await Clients.open();
      await clients.one[0]?.query('select pg_advisory_lock(1)');
      const writer = await Writer.start(url);
      await writer.progressed();
      const before = await primary();
      const { ended } = await begin(step);
      await killSupervisor(NAME);
      await ended;
      // Without anybody's help.
      await writer.progressed();
      await Promise.all(clients.all.map((client) => client.query('create temp table writes (n int)')));
      const tried = await clients.one[1]?.query<{ got: boolean }>('select pg_try_advisory_lock(1) as got');
      expect(tried?.rows).toEqual([{ got: false }]);
      const now = await status(NAME);
      expect(now.state).toBe('running');
      expect(new Set(now.sessions.map(({ engine }) => engine)).size).toBe(1);
      expect((await primary()) === before).toBe(where === 'stay');
      await writer.progressed();
      await writer.finish();
      await clients.close();
    },
    120_000,
  );
});

test('patch --self: one process after the other, its sessions handed over', async () => {
  const load = await Load.start(url, 1);
  const clients = await Clients.open();
  const before = await processes();
  const sessions = clients.all.length + 8;
  const record = await replaceSelf(NAME, silent);
  expect(record).toMatchObject({ sessions: { handed: sessions, lost: 0 }, holdMs: { count: sessions } });
  const now = await processes();
  expect(record.processes).toEqual(
    now.map(({ pid, sessions: handed }, index) => ({ from: before[index]?.pid, to: pid, handed, lost: 0 })),
  );
  for (const { pid } of before) await until('the old one has ended', () => !isRunning(pid));
  const more = await Clients.open();
  expect(new Set((await status(NAME)).sessions.map(({ id }) => id)).size).toBe(sessions + more.all.length);
  expect(await scale(NAME, await other())).toMatchObject({ outcome: 'completed', error: null });
  await Promise.all([...clients.all, ...more.all].map((client) => client.query('select 1')));
  await Promise.all([clients.close(), more.close()]);
  await load.expectUndisturbed();
}, 120_000);

test('another number: refused while it runs, also when its supervisor is dead; carried out once it is down; remembered', async () => {
  const port = Number(new URL(url).port);
  const differ = { code: 'DBP_INSTANCE_SETTINGS_DIFFER' };
  await expect(startInstance({ name: NAME, proxies: 2 })).rejects.toMatchObject(differ);
  await killSupervisor(NAME);
  await expect(startInstance({ name: NAME, proxies: 2 })).rejects.toMatchObject(differ);
  const found = await startInstance({ name: NAME });
  expect(found.proxy.pids).toHaveLength(PROCESSES);
  const { stopped } = await stopInstance(NAME, { purge: false });
  expect(stopped.filter((what) => what.startsWith('proxy '))).toHaveLength(PROCESSES);
  expect(await processesBelow(live.home)).toEqual([]);
  expect((await startInstance({ name: NAME, proxies: 2 })).proxy.pids).toHaveLength(2);
  await stopInstance(NAME, { purge: false });
  expect((await startInstance({ name: NAME })).proxy.pids).toHaveLength(2);
  await stopInstance(NAME, { purge: false });
  const one = await startInstance({ name: NAME, proxies: 1 });
  expect(one).toMatchObject({ port });
  expect(one.proxy.pids).toBeUndefined();
}, 60_000);

test('--max-sessions is a bound for all of them together, also after one has died', async () => {
  const limit = 7;
  const bounded = await live.up('bounded', { proxies: 2, maxSessions: limit });
  const login = async (): Promise<pg.Client> => {
    const client = new pg.Client({ connectionString: bounded.url });
    client.on('error', () => undefined);
    await client.connect();
    return client;
  };
  const fill = async (count: number): Promise<pg.Client[]> => {
    const clients: pg.Client[] = [];
    while (clients.length < count) clients.push(await login());
    return clients;
  };
  await until('nobody is there', async () => (await status('bounded')).proxy?.sessions === 0);
  const clients = await fill(limit);
  for (let i = 0; i < 6; i++) await expect(login()).rejects.toMatchObject({ code: '53300' });
  await clients[0]?.end();
  await until('its place is free', () =>
    login().then(
      (client) => clients.push(client) > 0,
      () => false,
    ),
  );

  const { processes: before = [] } = (await status('bounded')).proxy ?? {};
  const victim = before.find(({ sessions }) => sessions > 0);
  process.kill(victim?.pid ?? 0, 'SIGKILL');
  await until('another one is there', async () => {
    const { state, proxy } = await status('bounded');
    const pids = (proxy?.processes ?? []).map(({ pid }) => pid);
    return state === 'running' && pids.length === 2 && !pids.includes(victim?.pid ?? 0);
  });
  const more = await fill(victim?.sessions ?? 0);
  await expect(login()).rejects.toMatchObject({ code: '53300' });
  await Promise.all([...clients, ...more].map((client) => client.end().catch(() => undefined)));
}, 60_000);

test('what several processes do not do yet is refused, with what to leave out', async () => {
  const refused = { code: 'DBP_USAGE' };
  await expect(live.up('w', { proxies: 2, writers: 2 })).rejects.toMatchObject(refused);
  await expect(live.up('s', { proxies: 2, standby: 'async' })).rejects.toThrow('leave out --standby');
});
