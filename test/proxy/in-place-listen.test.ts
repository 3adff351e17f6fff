/** In place, its engine is stopped on purpose: who listens has by then what it was notified of, and nothing is lost. */
import type { Notification } from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { EngineRecord } from '../../src/engine/index.js';
import { connectPg, eventually } from '../support/clients.js';
import { TestEngines } from '../support/engines.js';
import { TestProxy, restartUnder } from '../support/proxies.js';

let engines: TestEngines;
let engine: EngineRecord;
let proxy: TestProxy;

beforeAll(async () => {
  engines = await TestEngines.open();
  engine = await engines.primary();
  proxy = await TestProxy.start(engines, engine);
});
afterAll(async () => {
  await proxy?.stop();
  await engines?.close();
});

const restart = async (): Promise<void> => {
  await engines.provider.stop(engine, 'fast');
  engine = await engines.provider.start({ ...engine, process: null });
};

it('what it was notified of just before comes, once, nothing is reported as lost, and it goes on to listen', async () => {
  const [listener, busy, notifier] = await Promise.all([1, 2, 3].map(() => connectPg(proxy.url())));
  if (!listener || !busy || !notifier) throw new Error('no clients');
  const heard: string[] = [];
  const hear =
    (who: string) =>
    ({ payload }: Notification): void =>
      void heard.push(`${who} ${payload}`);
  listener.on('notification', hear('idle'));
  busy.on('notification', hear('busy'));
  await listener.query('listen q');
  await busy.query('listen q');

  // A backend in the middle of a statement keeps what it is notified of until the end of it.
  const statement = busy.query('select pg_sleep(0.5)');
  await notifier.query(`notify q, 'before'`);
  const { lost, moved } = await restartUnder(proxy, restart);
  await statement;
  expect({ moved, lost }).toEqual({ moved: 3, lost: [] });

  await notifier.query(`notify q, 'after'`);
  await eventually('all of it to be heard', () => heard.length >= 4);
  expect(heard.sort()).toEqual(['busy after', 'busy before', 'idle after', 'idle before']);
  await Promise.all([listener, busy, notifier].map((client) => client.end()));
});
