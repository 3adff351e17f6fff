/** What is read of a session before the hold counts only as long as its client has asked nothing since. */
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { SessionSnapshot } from '../../src/proxy/control-api.js';
import { connectPg, eventually, value } from '../support/clients.js';
import { TestEngines, routeTo } from '../support/engines.js';
import { TestProxy } from '../support/proxies.js';
import { Switching } from '../support/switching.js';

let engines: TestEngines;
let switching: Switching;
let proxy: TestProxy;
const clients: pg.Client[] = [];

beforeAll(async () => {
  engines = await TestEngines.open();
  switching = new Switching(engines, await engines.primary());
  proxy = await TestProxy.start(engines, switching.primary);
});

afterEach(async () => {
  await proxy.control.call('release', {});
  await proxy.control.call('unwarm', {});
  await Promise.all(clients.splice(0).map((client) => client.end().catch(() => undefined)));
  await eventually('the sessions to be gone', async () => ((await sessions()).length === 0 ? true : null));
});

afterAll(async () => {
  expect(proxy?.log).toBe('');
  await proxy?.stop();
  await engines?.close();
});

const connect = async (): Promise<pg.Client> => {
  const client = await connectPg(proxy.url());
  clients.push(client);
  return client;
};
const sessions = (): Promise<SessionSnapshot[]> => proxy.control.call('sessions', {});
describe('the look-ahead', () => {
  it('reads what has changed since the warm phase, until the hold; what changes after it is read again', async () => {
    const [client, other] = [await connect(), await connect()];
    await proxy.control.call('warm', { target: routeTo(await switching.target()), withinMs: 1_000 });
    await client.query(`set work_mem = '5MB'`);
    expect((await sessions()).map(({ unasked }) => unasked)).toEqual([false, true]);
    await proxy.control.call('lookAhead', { withinMs: 1_000, unlessFew: false });
    expect((await sessions()).map(({ unasked }) => unasked)).toEqual([true, true]);
    // It goes on.
    await other.query(`set work_mem = '6MB'`);
    await eventually('it to be read', async () => (await sessions()).every(({ unasked }) => unasked));
    const sent: Promise<unknown>[] = [];
    const { moved, failed } = await switching.move(proxy, async () => {
      sent.push(client.query(`set work_mem = '7MB'`), other.query('select 1'));
    });
    await Promise.all(sent);
    expect({ moved, failed }).toEqual({ moved: 2, failed: [] });
    // Sent while everybody was held, and run there.
    expect(await value(client, 'show work_mem')).toBe('7MB');
    expect(await value(other, 'show work_mem')).toBe('6MB');
  });

  it('does nothing for few sessions, if it is not worth it for them', async () => {
    const client = await connect();
    await proxy.control.call('warm', { target: routeTo(await switching.target()), withinMs: 1_000 });
    await client.query(`set work_mem = '5MB'`);
    await proxy.control.call('lookAhead', { withinMs: 1_000, unlessFew: true });
    expect((await sessions()).map(({ unasked }) => unasked)).toEqual([false]);
  });

  it('leaves a session in a transaction alone, and does nothing without a target', async () => {
    const client = await connect();
    await proxy.control.call('lookAhead', { withinMs: 1_000, unlessFew: false });
    await proxy.control.call('warm', { target: routeTo(await switching.target()), withinMs: 1_000 });
    await client.query(`begin; set work_mem = '5MB'`);
    await proxy.control.call('lookAhead', { withinMs: 1_000, unlessFew: false });
    expect(await sessions()).toMatchObject([{ unasked: false, state: 'in tx' }]);
    await client.query('rollback');
    await eventually('it to be read', async () => (await sessions()).every(({ unasked }) => unasked));
    expect(await value(client, 'show work_mem')).toBe('4MB');
  });
});
