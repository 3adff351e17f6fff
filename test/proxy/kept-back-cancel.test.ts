/** A CancelRequest for a statement that the proxy keeps back, or has just let go, ends it: none is lost while sessions move. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { encode, StartupCode } from '../../src/protocol/index.js';
import { TestEngines } from '../support/engines.js';
import { TestProxy } from '../support/proxies.js';
import { RawClient } from '../support/raw-client.js';

const CLIENTS = 4;
const ROUNDS = 30;
/** Between a statement and its cancel, ms: in the same moment, as soon as it may run, while it runs. */
const PAUSES_MS = [0, 1, 10];

let engines: TestEngines;
let proxy: TestProxy;

beforeAll(async () => {
  engines = await TestEngines.open();
  proxy = await TestProxy.start(engines, await engines.primary(), {
    torture: { seed: 1, probability: 0.9 },
  });
});

afterAll(async () => {
  await proxy?.stop();
  await engines?.close();
});

it('each of them cancels its own statement', async () => {
  const codes = await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      const client = await RawClient.login(proxy.port);
      const found: (string | undefined)[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        expect((await client.query('select 1')).errors).toEqual([]);
        client.send(encode.query('select pg_sleep(5)'));
        const pauseMs = PAUSES_MS[round % PAUSES_MS.length];
        if (pauseMs) await delay(pauseMs);
        const other = await RawClient.connect(proxy.port);
        other.send(encode.cancelRequest(StartupCode.cancel, client.processId, client.secret));
        const { errors } = await client.answer();
        found.push(errors[0]);
        other.close();
      }
      client.close();
      return found;
    }),
  );
  expect(codes.flat().filter((code) => code !== '57014')).toEqual([]);
  const { torture } = await proxy.control.call('status', {});
  expect(torture?.moves).toBeGreaterThan(CLIENTS * ROUNDS);
}, 120_000);
