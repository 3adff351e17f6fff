/** A server that does not come back: its sessions are ended when the bound is over, and new ones served when it is there. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { connectPg, value, withPg } from '../support/clients.js';
import { TestEngines } from '../support/engines.js';
import { TestProxy } from '../support/proxies.js';

let engines: TestEngines;
beforeAll(async () => {
  engines = await TestEngines.open();
});
afterAll(() => engines?.close());

const HOLD = {
  budgetMs: 10_000,
  unmovable: 'rollback',
  cancelTransactions: false,
  operation: 'test',
} as const;

it('sessions are held until the bound, and then told 57P01; a later login waits for nobody', async () => {
  const engine = await engines.primary();
  const proxy = await TestProxy.start(engines, engine);
  const client = await connectPg(proxy.url());
  const ended = new Promise<Error & { code?: string }>((resolve) => client.once('error', resolve));
  await proxy.control.call('survey', { withinMs: 500 });
  expect(await proxy.control.call('hold', HOLD)).toMatchObject({ held: true });
  const boundMs = 4_000;
  const savedAt = performance.now();
  expect(await proxy.control.call('save', { boundMs })).toEqual({ committed: true, unmovable: [] });
  await engines.provider.stop(engine, 'fast');
  expect(await proxy.control.call('status', {})).toMatchObject({ gate: 'committed', sessions: 1, held: 1 });
  expect(await ended).toMatchObject({ code: '57P01' });
  expect(performance.now() - savedAt).toBeGreaterThanOrEqual(boundMs - 50);
  expect(await proxy.control.call('status', {})).toMatchObject({ gate: 'open', sessions: 0, target: null });
  await expect(proxy.control.call('move', {})).rejects.toMatchObject({ code: 'DBP_SWITCH_HOLD_LOST' });
  await engines.provider.start({ ...engine, process: null });
  await withPg(proxy.url(), (late) => late.query('select 1'));
  await proxy.stop();
});

it('a caller that vanishes: the proxy brings them back by itself, as soon as a server answers', async () => {
  const engine = await engines.primary();
  const proxy = await TestProxy.start(engines, engine);
  const client = await connectPg(proxy.url());
  await client.query(
    `create temp table mine as select 7 as n; select pg_advisory_lock(3); set app.kept = 'yes'`,
  );
  await proxy.control.call('survey', { withinMs: 500 });
  expect(await proxy.control.call('hold', HOLD)).toMatchObject({ held: true });
  expect(await proxy.control.call('save', { boundMs: 30_000 })).toMatchObject({ committed: true });
  await engines.provider.stop(engine, 'fast');
  proxy.control.close();
  const asked = client.query<{ n: number; kept: string; locks: number }>(
    `select n, current_setting('app.kept') as kept,
       (select count(*)::int from pg_locks where locktype = 'advisory') as locks from mine`,
  );
  await engines.provider.start({ ...engine, process: null });
  expect((await asked).rows).toEqual([{ n: 7, kept: 'yes', locks: 1 }]);
  await client.end();
  await proxy.stop();
});

it('a server that was back before the bound: who was to say so does not, and nobody is ended', async () => {
  const engine = await engines.primary();
  const proxy = await TestProxy.start(engines, engine);
  const client = await connectPg(proxy.url());
  await client.query(`create temp table mine as select 7 as n`);
  await proxy.control.call('survey', { withinMs: 500 });
  expect(await proxy.control.call('hold', HOLD)).toMatchObject({ held: true });
  // The caller stays, so the proxy does not finish the switch before the bound.
  expect(await proxy.control.call('save', { boundMs: 15_000 })).toMatchObject({ committed: true });
  await engines.provider.stop(engine, 'fast');
  await engines.provider.start({ ...engine, process: null });
  expect(await proxy.control.call('status', {})).toMatchObject({ gate: 'committed' });
  expect(await value(client, 'select n from mine')).toBe(7);
  expect(await proxy.control.call('status', {})).toMatchObject({ gate: 'open', sessions: 1 });
  await client.end();
  await proxy.stop();
});
