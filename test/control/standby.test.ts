/** The engine dies, and its standby takes over (`up --standby`): real processes, clients that stay connected. */
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StatusResult } from '../../src/control/api.js';
import { stopInstance } from '../../src/control/client.js';
import { events, isRunning, LiveHome, processesBelow, status, until } from './live.js';

let live: LiveHome;
beforeAll(async () => {
  live = await LiveHome.open();
});
afterAll(() => live.close());

interface Client {
  readonly client: pg.Client;
  readonly notices: string[];
  readonly details: string[];
}

async function connect(url: string): Promise<Client> {
  const client = new pg.Client({ connectionString: url });
  const notices: string[] = [];
  const details: string[] = [];
  client.on('error', () => undefined);
  client.on('notice', ({ message = '', detail = '' }) => {
    notices.push(message);
    details.push(detail);
  });
  await client.connect();
  return { client, notices, details };
}

const engineOf = ({ engines }: StatusResult, role: string) => engines.find((engine) => engine.role === role);

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

/** Resolves when that was noticed: until then backends that have not may still answer. */
async function killPrimary(name: string): Promise<void> {
  const pid = engineOf(await status(name), 'primary')?.pid;
  process.kill(pid!, 'SIGKILL');
  await until('the failover has begun', async () =>
    (await events(name)).some(({ type }) => type === 'failover.started'),
  );
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
    // What it holds is read when it has been quiet for a moment.
    await delay(500);

    const startedAt = performance.now();
    await killPrimary('sync');
    expect((await idle.client.query('show work_mem')).rows).toEqual([{ work_mem: '7MB' }]);
    const heldMs = performance.now() - startedAt;
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

    const record = (await events('sync')).find(({ type }) => type === 'failover.completed');
    expect(record?.data).toMatchObject({ from: 'e1', mode: 'sync', sessions: { failed: [] } });
    console.log(
      `held ${Math.round(heldMs)} ms`,
      acknowledged.length,
      inserters.map(({ codes }) => codes),
      JSON.stringify(record?.data).slice(0, 900),
    );

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
