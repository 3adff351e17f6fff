/** The mode of the proxy in which suites of others run: it moves what it says it moves, and its clients see nothing of it. */
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type { EngineRecord } from '../../src/engine/index.js';
import type { TortureTally } from '../../src/proxy/control-api.js';
import { connectPg, value } from '../support/clients.js';
import { TestEngines } from '../support/engines.js';
import { TestProxy } from '../support/proxies.js';

let engines: TestEngines;
let engine: EngineRecord;
let proxy: TestProxy;
const clients: pg.Client[] = [];

beforeAll(async () => {
  engines = await TestEngines.open();
  engine = await engines.primary();
});
beforeEach(async () => {
  proxy = await TestProxy.start(engines, engine, { torture: { seed: 1, probability: 0.7 } });
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.end().catch(() => undefined)));
  expect(proxy.log).toBe('');
  await proxy.stop();
});
afterAll(async () => {
  await engines?.close();
});

const connect = async (): Promise<pg.Client> => {
  const client = await connectPg(proxy.url());
  clients.push(client);
  return client;
};
const tally = async (): Promise<TortureTally> => {
  const { torture } = await proxy.control.call('status', {});
  if (!torture) throw new Error('the proxy does not torture');
  return torture;
};

it('locks and their counts move while a rival tries to get them', async () => {
  const [holder, rival] = [await connect(), await connect()];
  const backends = new Set<unknown>();
  const TIMES = 15;
  for (let i = 0; i < TIMES; i++) {
    await holder.query('select pg_advisory_lock(7), pg_advisory_lock_shared(8)');
    backends.add(await value(holder, 'select pg_backend_pid()'));
    expect(await value(rival, 'select pg_try_advisory_lock(7) or pg_try_advisory_lock(8)')).toBe(false);
  }
  for (let i = 0; i < TIMES; i++) {
    expect(await value(holder, 'select pg_advisory_unlock(7) and pg_advisory_unlock_shared(8)')).toBe(true);
  }
  expect(await value(rival, 'select pg_try_advisory_lock(7) and pg_try_advisory_lock(8)')).toBe(true);
  const { together, failed } = await tally();
  expect(failed).toEqual([]);
  expect(together).toBeGreaterThan(5);
  expect(backends.size).toBeGreaterThan(3);
});

it('a listener misses nothing and hears nothing twice', async () => {
  const [listener, sender] = [await connect(), await connect()];
  const heard: string[] = [];
  listener.on('notification', ({ payload }) => heard.push(payload ?? ''));
  await listener.query('listen news');
  const sent = Array.from({ length: 60 }, (_, i) => String(i));
  let done = false;
  const listening = (async () => {
    while (!done) await listener.query('select 1');
  })();
  for (const payload of sent) await sender.query(`select pg_notify('news', '${payload}')`);
  done = true;
  await listening;
  await listener.query('select 1');
  expect(heard).toEqual(sent);
  const { together, failed } = await tally();
  expect(failed).toEqual([]);
  expect(together).toBeGreaterThan(5);
});

it('a session that holds what others can tell apart stays while another one is in a transaction, and says so', async () => {
  const [holder, busy] = [await connect(), await connect()];
  await busy.query('begin');
  await holder.query('select pg_advisory_lock(7)');
  for (let i = 0; i < 10; i++) await holder.query('select 1');
  const { together, stayed } = await tally();
  expect(together).toBe(0);
  expect(stayed['others did not come to a safe point']).toBeGreaterThan(0);
  await busy.query('commit');
});
