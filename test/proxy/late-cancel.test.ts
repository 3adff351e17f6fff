/** A CancelRequest that comes too late for its statement hits nothing of ours: who holds the session waits until it has arrived. */
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { StartupCode, encode } from '../../src/protocol/index.js';
import { eventually } from '../support/clients.js';
import { TestEngines } from '../support/engines.js';
import { TestProxy } from '../support/proxies.js';
import { RawClient } from '../support/raw-client.js';
import { SlowCancels } from '../support/slow-cancels.js';

let engines: TestEngines;
let way: SlowCancels;
let proxy: TestProxy;

beforeAll(async () => {
  engines = await TestEngines.open();
  way = await SlowCancels.before(await engines.primary(), join(engines.home, 'slow'));
  proxy = await TestProxy.start(engines, null);
  await proxy.control.call('route', { engine: way.route });
});

afterAll(async () => {
  await proxy?.stop();
  await way?.close();
  await engines?.close();
});

it('a session is not looked at while its cancel is on the way, and is afterwards', async () => {
  const client = await RawClient.login(proxy.port);
  const canceler = await RawClient.connect(proxy.port);
  canceler.send(encode.cancelRequest(StartupCode.cancel, client.processId, client.secret));
  await eventually('the cancel to be on its way', () => way.waiting === 1);

  const [early] = await proxy.control.call('check', { withinMs: 100 });
  expect(early?.looked).toBe(false);
  expect(JSON.stringify(early)).toContain(
    'has a cancel request on its way that its engine has not taken yet',
  );
  expect((await client.query('select 1')).rows).toEqual([['1']]);

  const late = proxy.control.call('check', { withinMs: 5_000 });
  way.letGo();
  expect((await late)[0]?.looked).toBe(true);
  expect((await client.query('select 2')).rows).toEqual([['2']]);
  canceler.close();
  client.close();
});
