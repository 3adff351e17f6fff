/** A session that is looked at and goes on where it was: its client sees nothing of it. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { connectPg } from '../support/clients.js';
import { TestEngines } from '../support/engines.js';
import { TestProxy } from '../support/proxies.js';

let engines: TestEngines;
let proxy: TestProxy;

beforeAll(async () => {
  engines = await TestEngines.open();
  proxy = await TestProxy.start(engines, await engines.primary());
});

afterAll(async () => {
  await proxy?.stop();
  await engines?.close();
});

it('is told no value of a setting that it has changed since the login', async () => {
  const client = await connectPg(proxy.url());
  const told: string[] = [];
  const { connection } = client as unknown as { connection: NodeJS.EventEmitter };
  connection.on('parameterStatus', (message: { parameterName: string; parameterValue: string }) =>
    told.push(`${message.parameterName}=${message.parameterValue}`),
  );
  await client.query(`set standard_conforming_strings = off`);
  for (let look = 0; look < 2; look++) {
    const [report] = await proxy.control.call('check', { withinMs: 5_000 });
    expect(report?.looked).toBe(true);
    await client.query('select 1');
  }
  expect(told).toEqual(['standard_conforming_strings=off']);
  await client.end();
});
