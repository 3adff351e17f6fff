/** Row 13 while everybody is held: who waits for an advisory lock gets it from a session at a safe point, or both are named. */
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type { HoldResult } from '../../src/proxy/control-api.js';
import { connectPg, directTo, eventually, withPg } from '../support/clients.js';
import { TestEngines, routeTo } from '../support/engines.js';
import { TestProxy } from '../support/proxies.js';
import { Switching } from '../support/switching.js';

let engines: TestEngines;
let switching: Switching;
let proxy: TestProxy;
let holder: pg.Client;
let waiters: pg.Client[];
/** One for each waiter: it has got the lock. */
let got: Promise<unknown>[];

beforeAll(async () => {
  engines = await TestEngines.open();
  switching = new Switching(engines, await engines.primary());
  proxy = await TestProxy.start(engines, switching.primary);
});
beforeEach(async () => {
  // In this order: it is theirs in every answer, too.
  holder = await connectPg(proxy.url());
  waiters = [await connectPg(proxy.url()), await connectPg(proxy.url())];
  await holder.query('select pg_advisory_lock(7)');
  got = waiters.map((waiter) => waiter.query('select pg_advisory_lock(7)'));
  for (const each of got) each.catch(() => undefined);
  await withPg(directTo(switching.primary), (admin) =>
    eventually('both to wait', async () => {
      const { rowCount } = await admin.query(
        `select from pg_locks where locktype = 'advisory' and not granted`,
      );
      return rowCount === 2;
    }),
  );
});
afterEach(async () => {
  await proxy.control.call('release', {});
  await proxy.control.call('unwarm', {});
  await Promise.all([holder, ...waiters].map((client) => client.end()));
});
afterAll(async () => {
  await proxy?.stop();
  await engines?.close();
});

const hold = async (budgetMs: number, cancelTransactions = false): Promise<HoldResult> => {
  await proxy.control.call('warm', { target: routeTo(await switching.target()), withinMs: 100 });
  return proxy.control.call('hold', {
    budgetMs,
    unmovable: 'rollback',
    cancelTransactions,
    operation: 'test',
  });
};
const holding = (): Promise<unknown> =>
  eventually('the hold', async () => (await proxy.control.call('status', {})).gate === 'holding');

it('the one that has it goes on until nobody waits; then everybody is held', async () => {
  const held = hold(10_000);
  await holding();
  await holder.query('select 1');
  await holder.query('select pg_advisory_unlock(7)');
  // The second one gets it from the first, which is at a safe point by then.
  const inTurn = got.map(async (each, i) => {
    await each;
    await waiters[i]?.query('select 2');
    await waiters[i]?.query('select pg_advisory_unlock(7)');
  });
  expect(await held).toMatchObject({ held: true, blockers: [] });
  const [first] = await Promise.all([holder.query('select 3'), proxy.control.call('release', {})]);
  expect(first.rowCount).toBe(1);
  await Promise.all(inTurn);
});

it('one that keeps it is named, and so are those that wait for it', async () => {
  const result = await hold(300);
  expect(result.held).toBe(false);
  const sessions = await proxy.control.call('sessions', {});
  const [{ id } = { id: 0 }] = sessions;
  expect(result.blockers.map(({ reason }) => reason)).toEqual([
    expect.stringMatching(
      /^has asked nothing for [\d.]+ s and keeps an advisory lock that others wait for: session \d+, \d+$/,
    ),
    expect.stringMatching(
      new RegExp(`running a statement .*, waiting for an advisory lock of session ${id}`),
    ),
    expect.stringMatching(/running a statement .*, waiting for an advisory lock of session/),
  ]);
  const checked = await proxy.control.call('check', { withinMs: 100 });
  expect(checked.map(({ movable }) => movable)).toEqual([true, false, false]);
  expect(checked[1]?.reasons).toEqual([expect.stringContaining('waiting for an advisory lock of session')]);
  await holder.query('select pg_advisory_unlock(7)');
  await Promise.race(got);
});

it('cancelled, those that wait fail with 40001, and the one that has it keeps it and notices nothing', async () => {
  // The engine has half of it to end what is canceled.
  expect(await hold(4_000, true)).toMatchObject({ held: true });
  await proxy.control.call('release', {});
  for (const each of got) await expect(each).rejects.toMatchObject({ code: '40001' });
  expect((await holder.query('select pg_advisory_unlock(7) as had')).rows).toEqual([{ had: true }]);
});
