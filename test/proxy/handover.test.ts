/**
 * The proxy's process is replaced under its clients (patch --self): both sockets of every session are inherited, wherever the
 * session stands; nobody reconnects, logs in again or parses again.
 */
import { readdirSync } from 'node:fs';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EngineRecord } from '../../src/engine/index.js';
import { encode } from '../../src/protocol/index.js';
import { connectPg, directTo, eventually, withPg } from '../support/clients.js';
import { PASSWORD, TestEngines } from '../support/engines.js';
import { TestProxy, waitForExit } from '../support/proxies.js';
import { RawClient } from '../support/raw-client.js';

let engines: TestEngines;
let primary: EngineRecord;

beforeAll(async () => {
  engines = await TestEngines.open();
  primary = await engines.primary();
  await withPg(directTo(primary), async (admin) => {
    await admin.query(`create role app login password '${PASSWORD}'`);
    await admin.query('create table t (n int); grant all on t to app');
  });
});

afterAll(() => engines?.close());

const backend = async (client: pg.Client): Promise<number> =>
  (await client.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]!.pid;

describe.each([
  { path: 'fast path', fastPath: true },
  { path: 'plain sockets', fastPath: false },
])('handover, $path', ({ fastPath }) => {
  let proxy: TestProxy;

  beforeAll(async () => {
    proxy = await TestProxy.start(engines, primary, { fastPath });
  });

  afterAll(async () => {
    await proxy?.stop();
    expect(proxy?.log).toBe('');
  });

  it('keeps idle sessions, their backends and their state', async () => {
    const clients = await Promise.all(Array.from({ length: 20 }, () => connectPg(proxy.url('app'))));
    for (const [i, client] of clients.entries()) {
      await client.query(`create temp table mine as select ${i} as i`);
      await client.query({ name: 'p', text: 'select i + $1::int as n from mine', values: [0] });
    }
    const before = await Promise.all(clients.map(backend));
    const old = proxy.pid;
    const { pid, sessions, holdMs } = await proxy.handOver();
    expect(sessions).toEqual({ handed: 20, lost: [] });
    expect(holdMs.count).toBe(20);
    expect(pid).not.toBe(old);
    expect(proxy.pid).toBe(pid);
    await waitForExit(old);
    expect(await Promise.all(clients.map(backend))).toEqual(before);
    for (const [i, client] of clients.entries()) {
      // The statement was parsed before: pg only binds it.
      const { rows } = await client.query({ name: 'p', text: 'select i + $1::int as n from mine', values: [1] });
      expect(rows).toEqual([{ n: i + 1 }]);
    }
    await Promise.all(clients.map((client) => client.end()));
  });
});
