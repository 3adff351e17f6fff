/** Wrong passwords cost time, for that role from that address, and memory has a bound. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EngineRecord } from '../../src/engine/index.js';
import { FailedLogins } from '../../src/proxy/failed-logins.js';
import { directTo, withPg } from '../support/clients.js';
import { PASSWORD, TestEngines } from '../support/engines.js';
import { TestProxy } from '../support/proxies.js';
import { RawClient } from '../support/raw-client.js';

describe('the wait', () => {
  let now = 0;
  const fresh = (): FailedLogins => {
    now = 1_000;
    return new FailedLogins(() => now);
  };
  const fail = (failures: FailedLogins, times: number): void => {
    for (let i = 0; i < times; i++) failures.failed('me', '192.0.2.1');
  };

  it('begins with the fifth failure and doubles up to two seconds', () => {
    const failures = fresh();
    const waits: number[] = [];
    for (let i = 0; i < 14; i++) {
      const wait = failures.waitMs('me', '192.0.2.1');
      waits.push(wait);
      now += wait;
      failures.failed('me', '192.0.2.1');
    }
    expect(waits).toEqual([0, 0, 0, 0, 0, 100, 100, 200, 400, 800, 1600, 2000, 2000, 2000]);
  });

  it('is a line: many at once do not get more guesses, and who would wait too long is turned away', () => {
    const failures = fresh();
    fail(failures, 20);
    const waits: number[] = [];
    expect(() => {
      for (;;) waits.push(failures.waitMs('me', '192.0.2.1'));
    }).toThrow(/too many failed logins of user "me"/);
    expect(waits).toEqual([100, 2_100, 4_100, 6_100, 8_100]);
  });

  it('is for that role from that address, ends with a success, and after a minute', () => {
    const failures = fresh();
    fail(failures, 10);
    expect(failures.waitMs('me', '192.0.2.2')).toBe(0);
    expect(failures.waitMs('you', '192.0.2.1')).toBe(0);
    expect(failures.waitMs('me', '192.0.2.1')).toBeGreaterThan(0);
    failures.succeeded('me', '192.0.2.1');
    expect(failures.waitMs('me', '192.0.2.1')).toBe(0);
    fail(failures, 10);
    now += 60_001;
    expect(failures.waitMs('me', '192.0.2.1')).toBe(0);
    expect(failures.size).toBe(0);
  });

  it('is remembered for a bounded number of pairs, the latest', () => {
    const failures = fresh();
    fail(failures, 10);
    for (let i = 0; i < 9_999; i++) failures.failed('a'.repeat(9_000) + i, `192.0.2.${i}`);
    expect(failures.size).toBe(10_000);
    expect(failures.waitMs('me', '192.0.2.1')).toBeGreaterThan(0);
    failures.failed('one more', '192.0.2.1');
    expect(failures.size).toBe(10_000);
    expect(failures.waitMs('me', '192.0.2.1')).toBe(0);
  });
});

describe('at a proxy', () => {
  let engines: TestEngines;
  let engine: EngineRecord;
  beforeAll(async () => {
    engines = await TestEngines.open();
    engine = await engines.primary();
    await withPg(directTo(engine), async (admin) => {
      await admin.query(`create role me login password '${PASSWORD}'`);
      await admin.query(`create role you login password '${PASSWORD}'`);
    });
  });
  afterAll(() => engines?.close());

  it('guesses get slow; the right password still opens, and others do not wait', async () => {
    const proxy = await TestProxy.start(engines, engine);
    const login = async (user: string, password: string): Promise<number> => {
      const begun = performance.now();
      await RawClient.login(proxy.port, { user, password }).then(
        (client) => client.close(),
        (error: Error) => expect(error).toMatchObject({ sqlstate: '28P01' }),
      );
      return performance.now() - begun;
    };
    for (let i = 0; i < 10; i++) await login('me', `guess ${i}`);
    // The eleventh waits for the turn that the tenth left: 1.6 s after it.
    expect(await login('me', PASSWORD)).toBeGreaterThan(1_000);
    for (let i = 0; i < 5; i++) await login('me', `guess ${i}`);
    const client = await RawClient.login(proxy.port, { user: 'you' });
    expect((await client.query('select 1')).rows).toEqual([['1']]);
    client.close();
    expect((await proxy.control.call('status', {})).totals.failedLogins).toBe(15);
    await proxy.stop();
  });
});
