/** What an engine says unasked may come in two pieces, and a hold begin, or end, between them. */
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { cstrings } from '../../src/protocol/index.js';
import type { EngineRecord } from '../../src/engine/index.js';
import { directTo, eventually, withPg } from '../support/clients.js';
import { CutMessages, type CutAt } from '../support/cut-messages.js';
import { TestEngines, routeTo } from '../support/engines.js';
import { TestProxy } from '../support/proxies.js';
import { RawClient } from '../support/raw-client.js';

let engines: TestEngines;
let primary: EngineRecord;
let standby: EngineRecord;
let way: CutMessages;
let proxy: TestProxy;

beforeAll(async () => {
  engines = await TestEngines.open();
  primary = await engines.primary();
  standby = await engines.standbyOf(primary);
  way = await CutMessages.before(primary, join(engines.home, 'cut'));
  proxy = await TestProxy.start(engines, null);
  await proxy.control.call('route', { engine: way.route });
});

afterAll(async () => {
  await proxy?.stop();
  await way?.close();
  await engines?.close();
});

const listener = async (): Promise<RawClient> => {
  const client = await RawClient.login(proxy.port);
  await client.query('listen news');
  return client;
};

const cutNotification = async (at: CutAt): Promise<void> => {
  way.cut(at);
  await withPg(directTo(primary), (admin) => admin.query(`notify news, 'of the day'`));
  await eventually('the first piece', () => way.isCut);
  // It was there before this request, and before its answer the proxy has read it.
  await proxy.control.call('status', {});
};

const heard = async (client: RawClient): Promise<string[]> =>
  cstrings((await client.answer('A')).messages.at(-1)!.body.subarray(4));

it.each([3, 12] as const)(
  '%i bytes of it before a hold: the rest ends the wait for a safe point',
  async (at) => {
    const client = await listener();
    await cutNotification(at);
    const check = proxy.control.call('check', { withinMs: 10_000 });
    await eventually('the session to be waited for', async () => {
      const [session] = await proxy.control.call('sessions', {});
      return session?.state === 'idle' ? true : null;
    });
    way.letGo();
    expect(await check).toMatchObject([{ looked: true }]);
    expect(await heard(client)).toEqual(['news', 'of the day']);
    expect((await client.query('select 1')).rows).toEqual([['1']]);
    client.close();
  },
);

it.each([3, 12] as const)(
  '%i bytes of it while held, the rest afterwards: the client gets it whole',
  async (at) => {
    const client = await listener();
    await proxy.control.call('warm', { target: routeTo(standby), withinMs: 500 });
    const params = {
      budgetMs: 5_000,
      unmovable: 'rollback',
      cancelTransactions: false,
      operation: 'test',
    } as const;
    expect(await proxy.control.call('hold', params)).toMatchObject({ held: true });
    await cutNotification(at);
    await proxy.control.call('release', {});
    await proxy.control.call('unwarm', {});
    way.letGo();
    expect(await heard(client)).toEqual(['news', 'of the day']);
    expect((await client.query('select 1')).rows).toEqual([['1']]);
    client.close();
  },
);
