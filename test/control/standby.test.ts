/** The engine dies, and its standby takes over (`up --standby`): real processes, clients that stay connected. */
import { execFile } from 'node:child_process';
import { access, chmod, cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { askSupervisor, stopInstance } from '../../src/control/client.js';
import { adminQuery, embeddedProvider } from '../../src/engine/index.js';
import { useProvider } from '../support/provider.js';
import { events, isRunning, killSupervisor, LiveHome, processesBelow, scale, status, until } from './live.js';
import { childOf, connect, engineOf, killPrimary } from './with-standby.js';

// It looks at servers' processes and files; containers: docker-standby.test.ts.
useProvider('embedded');

let live: LiveHome;
beforeAll(async () => {
  live = await LiveHome.open();
});
afterAll(() => live.close());

/** A client that inserts numbers, and what it was told of each. */
class Inserter {
  readonly acknowledged: number[] = [];
  readonly codes: string[] = [];
  #stop = false;
  readonly client: pg.Client;
  readonly #done: Promise<void>;

  constructor(client: pg.Client, from: number) {
    this.client = client;
    this.#done = this.#run(from);
  }

  async #run(from: number): Promise<void> {
    for (let n = from; !this.#stop; n++) {
      try {
        await this.client.query('insert into numbers values ($1)', [n]);
        this.acknowledged.push(n);
      } catch (error) {
        this.codes.push((error as { code?: string }).code ?? 'none');
        if (this.codes.length > 3) return;
      }
    }
  }

  async finish(): Promise<void> {
    this.#stop = true;
    await this.#done;
  }
}

describe('synchronous', () => {
  test('sessions go on with their state, nothing acknowledged is missing, and there is another standby', async () => {
    const { url } = await live.up('sync', { standby: 'sync' });
    const before = await status('sync');
    expect(before.standby).toMatchObject({ mode: 'sync', state: 'streaming', synchronous: true });
    expect(engineOf(before, 'standby')?.id).toBe(before.standby?.engine);

    const admin = await connect(url);
    await admin.client.query('create table numbers (n int primary key)');
    const idle = await connect(url);
    const heard: string[] = [];
    idle.client.on('notification', ({ payload = '' }) => heard.push(payload));
    await idle.client.query(`set work_mem = '7MB'`);
    await idle.client.query(`set app.tenant = 'blue'`);
    await idle.client.query('listen news');
    await idle.client.query({ name: 'twice', text: 'select $1::int * 2 as twice', values: [4] });
    const basket = await connect(url);
    await basket.client.query('create temp table basket (n int)');
    const inTransaction = await connect(url);
    await inTransaction.client.query('begin');
    await inTransaction.client.query('insert into numbers values (-1)');
    const committing = await connect(url);
    await committing.client.query('begin');
    await committing.client.query('insert into numbers values (-2)');
    const inserters = await Promise.all(
      [1_000_000, 2_000_000].map(async (from) => new Inserter((await connect(url)).client, from)),
    );
    await until('the inserters are at work', () =>
      inserters.every(({ acknowledged }) => acknowledged.length > 20),
    );
    await until('what they hold is read', async () => {
      const { sessions } = await status('sync');
      return (['preparedStatements', 'tempObjects'] as const).every((kind) =>
        sessions.some(({ stateKinds }) => stateKinds.includes(kind)),
      );
    });

    await killPrimary('sync');
    expect((await idle.client.query('show work_mem')).rows).toEqual([{ work_mem: '7MB' }]);
    expect((await idle.client.query('show app.tenant')).rows).toEqual([{ 'app.tenant': 'blue' }]);
    const twice = await idle.client.query({
      name: 'twice',
      text: 'select $1::int * 2 as twice',
      values: [21],
    });
    expect(twice.rows).toEqual([{ twice: 42 }]);
    await admin.client.query(`notify news, 'still here'`);
    await until('the notification has come', () => heard.includes('still here'));
    expect(idle.notices).toEqual([]);

    await expect(inTransaction.client.query('insert into numbers values (-3)')).rejects.toMatchObject({
      code: '40001',
    });
    await inTransaction.client.query('rollback');
    await expect(committing.client.query('commit')).rejects.toMatchObject({ code: '40001' });
    expect((await committing.client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    expect(basket.details.join()).toContain('temporary table basket');
    await expect(basket.client.query('select * from basket')).rejects.toMatchObject({ code: '42P01' });

    await Promise.all(inserters.map((each) => each.finish()));
    const there = await admin.client.query<{ n: number }>('select n from numbers');
    const numbers = new Set(there.rows.map(({ n }) => n));
    const acknowledged = inserters.flatMap((each) => each.acknowledged);
    expect(acknowledged.filter((n) => !numbers.has(n))).toEqual([]);
    expect([-1, -2, -3].filter((n) => numbers.has(n))).toEqual([]);
    for (const { codes } of inserters) expect(codes.filter((code) => code !== '08007')).toEqual([]);

    const completed = async () => (await events('sync')).find(({ type }) => type === 'failover.completed');
    await until('it is on record', async () => (await completed()) !== undefined);
    const record = await completed();
    expect(record?.data).toMatchObject({ from: 'e1', mode: 'sync', sessions: { failed: [] } });

    await until(
      'there is another standby',
      async () => (await status('sync')).standby?.synchronous === true,
      60_000,
    );
    const after = await status('sync');
    expect(engineOf(after, 'primary')?.id).toBe(before.standby?.engine);
    expect(after.engines).toHaveLength(2);
    await admin.client.query('insert into numbers values (1)');
    for (const { client } of [admin, idle, basket, inTransaction, committing]) await client.end();
    for (const { client } of inserters) await client.end();

    const pids = after.engines.map(({ pid }) => pid!);
    await stopInstance('sync', { purge: true });
    expect(pids.filter(isRunning)).toEqual([]);
    expect(await processesBelow(live.home)).toEqual([]);
  });
});

describe('asynchronous', () => {
  const NAME = 'async';
  let url: string;
  beforeAll(async () => {
    ({ url } = await live.up(NAME, { standby: 'async' }));
  });

  const follows = (): Promise<void> =>
    until('the standby is there', async () => (await status(NAME)).standby?.state === 'streaming', 60_000);
  const failovers = async () => (await events(NAME)).filter(({ type }) => type === 'failover.completed');

  test('the loss is measured: with nothing written at last there is none, and it is said', async () => {
    const { client, notices } = await connect(url);
    await client.query('create table kept (n int)');
    await until('it is written', async () => (await status(NAME)).standby?.lagBytes === 0);
    // What it holds is known by now: else that might be lost.
    expect(await askSupervisor(NAME, 'check', { withinMs: 5_000 })).toMatchObject({ movable: true });
    await killPrimary(NAME);
    expect((await client.query('select count(*)::int as n from kept')).rows).toEqual([{ n: 0 }]);
    expect(notices).toEqual([]);
    await until('it is on record', async () => (await failovers()).length === 1);
    const [record] = await failovers();
    expect(record?.data).toMatchObject({ mode: 'async', lostBytes: 0 });
    expect(record?.message).toContain('nothing acknowledged is lost');
    await client.end();
  });

  test('what the standby did not get is lost, and counted; the old engine stays dead, and its data is kept', async () => {
    await follows();
    const { client, details } = await connect(url);
    const before = await status(NAME);
    const old = engineOf(before, 'primary');
    await client.query('insert into kept values (1)');
    await until('it is there', async () => (await status(NAME)).standby?.lagBytes === 0);
    // From now on it gets nothing.
    process.kill(await childOf(old!.pid!, 'walsender'), 'SIGSTOP');
    await client.query('insert into kept values (2)');
    process.kill(old!.pid!, 'SIGKILL');
    await until('it has failed over', async () => (await failovers()).length === 2, 60_000);
    const lostBytes = Number((await failovers())[1]?.data?.['lostBytes']);
    expect(lostBytes).toBeGreaterThan(0);
    expect((await client.query('select n from kept')).rows).toEqual([{ n: 1 }]);
    expect(details.join()).toContain(`at most ${lostBytes} bytes of WAL`);
    const below = (): Promise<string[]> =>
      processesBelow(`${live.home}/instances/${NAME}/engines/${old!.id}`);
    // No server; `postgres --check`, which gives back the memory that it shared, is none, and ends.
    expect((await below()).filter((line) => !line.includes('--check'))).toEqual([]);
    await until('nothing of it runs', async () => (await below()).length === 0);

    const record = (await failovers())[1];
    const kept = String(record?.data?.['kept']);
    expect(kept).toBe(`${live.home}/instances/${NAME}/engines/${old!.id}`);
    expect(record?.message).toContain(kept);
    expect(details.join()).toContain(`the data of ${old!.id} is kept`);
    await follows();
    expect(await rowsIn(kept)).toEqual([{ n: 1 }, { n: 2 }]);

    // The next one that loses nothing leaves it alone; `down` does not.
    await until('nothing is missing', async () => (await status(NAME)).standby?.lagBytes === 0);
    await killPrimary(NAME);
    await until('it has failed over', async () => (await failovers()).length === 3, 60_000);
    expect((await failovers())[2]?.data).toMatchObject({ lostBytes: 0, kept: null });
    await access(kept);
    await client.end();
    await stopInstance(NAME);
    await expect(access(kept)).rejects.toMatchObject({ code: 'ENOENT' });
    await live.up(NAME);
    expect((await status(NAME)).engines.map(({ role }) => role).sort()).toEqual(['primary', 'standby']);
  });
});

/** Of `kept`, as a server on a copy of an engine's data shows it (docs/reliability.md). */
async function rowsIn(directory: string): Promise<unknown> {
  const copy = await mkdtemp(join(tmpdir(), 'dbplook-'));
  await chmod(copy, 0o711);
  const provider = embeddedProvider({ cacheDirectory: join(copy, 'cache') });
  try {
    await cp(directory, join(copy, 'engine'), { recursive: true, preserveTimestamps: true });
    await promisify(execFile)('chown', ['-R', `--reference=${directory}`, join(copy, 'engine')]);
    const engine = await provider.start({
      ...{ id: 'look', provider: 'embedded', role: 'primary', size: 'small', postgres: '17' },
      access: { kind: 'socket', directory: join(copy, 'run'), port: 5432 },
      ...{ superuser: 'postgres', systemIdentifier: '', process: null },
      ...{ directory: join(copy, 'engine'), logFile: join(copy, 'engine', 'engine.log') },
    });
    const rows = await adminQuery(engine, 'select n from public.kept order by n');
    await provider.stop(engine, 'fast');
    return rows;
  } finally {
    await rm(copy, { recursive: true, force: true });
  }
}

describe('around it', () => {
  const NAME = 'around';
  let url: string;
  beforeAll(async () => {
    ({ url } = await live.up(NAME, { standby: 'async' }));
  });

  test('a backend that dies alone is no reason to fail over: its engine starts anew, as without a standby', async () => {
    const alone = await connect(url);
    const { rows } = await alone.client.query<{ pid: number }>('select pg_backend_pid() as pid');
    process.kill(rows[0]!.pid, 'SIGKILL');
    await expect(alone.client.query('select 1')).rejects.toThrow();
    await until('it answers again', async () => (await status(NAME)).state === 'running');
    expect((await events(NAME)).map(({ type }) => type)).not.toContain('failover.started');
  });

  test('a new supervisor finds the standby, and fails over to it', async () => {
    const standby = (await status(NAME)).standby?.engine;
    await killSupervisor(NAME);
    const found = await status(NAME);
    expect(found.standby).toMatchObject({ engine: standby, state: 'streaming' });
    expect(found.engines).toHaveLength(2);
    const { client } = await connect(url);
    await client.query(`set work_mem = '9MB'`);
    await until('its state was read', async () =>
      (await status(NAME)).sessions.some(({ stateKinds }) => stateKinds.includes('settings')),
    );
    await client.query('create table outcomes (n int)');
    // Their backends do not answer any more.
    const inTransaction = await stopped(url, 'begin', 'insert into outcomes values (1)');
    const committing = await stopped(url, 'begin; insert into outcomes values (2)', 'commit');
    const alone = await stopped(url, 'select 1', 'insert into outcomes values (3)');
    await killPrimary(NAME);
    expect((await client.query('show work_mem')).rows).toEqual([{ work_mem: '9MB' }]);
    expect(await inTransaction.code).toBe('40001');
    expect(await committing.code).toBe('08007');
    expect(await alone.code).toBe('08007');
    // In a transaction until it is told to end.
    await expect(inTransaction.client.query('select 1')).rejects.toMatchObject({ code: '25P02' });
    await inTransaction.client.query('rollback');
    for (const each of [inTransaction, committing, alone]) {
      expect((await each.client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
      await each.client.end();
    }
    await client.end();
  });

  test('a scale leaves a standby of the new primary', async () => {
    await until('there is one', async () => (await status(NAME)).standby?.state === 'streaming', 60_000);
    const before = (await status(NAME)).standby?.engine;
    expect((await scale(NAME, 'medium')).outcome).toBe('completed');
    await until(
      'there is another one',
      async () => {
        const { standby } = await status(NAME);
        return standby?.state === 'streaming' && standby.engine !== before;
      },
      60_000,
    );
    const { engines } = await status(NAME);
    expect(engines.map(({ role, size }) => `${role} ${size}`).sort()).toEqual([
      'primary medium',
      'standby medium',
    ]);
  }, 120_000);
});

/** A client whose last query is with a backend that was stopped; `code` of what it gets in the end. */
async function stopped(url: string, first: string, last: string) {
  const { client } = await connect(url);
  await client.query(first);
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
  process.kill(rows[0]!.pid, 'SIGSTOP');
  const code = client.query(last).then(
    () => 'done',
    (error: { code?: string }) => error.code ?? 'none',
  );
  return { client, code };
}
