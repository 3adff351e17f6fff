/** `--on-timeout cancel`: transactions that stand in the way are aborted, their clients get 40001 and can go on. */
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { EngineRecord } from '../../src/engine/index.js';
import { TestEngines, routeTo } from '../support/engines.js';
import { TestProxy } from '../support/proxies.js';

let engines: TestEngines;
let primary: EngineRecord;
let standby: EngineRecord;
let proxy: TestProxy;

beforeAll(async () => {
  engines = await TestEngines.open();
  primary = await engines.primary();
  proxy = await TestProxy.start(engines, primary);
  standby = await engines.standbyOf(primary);
  await proxy.control.call('warm', { target: routeTo(standby), withinMs: 100 });
});

afterAll(async () => {
  await proxy?.stop();
  await engines?.close();
});

const connect = async (): Promise<pg.Client> => {
  const client = new pg.Client({ connectionString: proxy.url() });
  await client.connect();
  return client;
};

/** Holds with cancellation and lets everybody go on where they were. */
const holdAndRelease = async (): Promise<void> => {
  const params = {
    // The engine has half of it to end what is canceled.
    budgetMs: 3_000,
    unmovable: 'rollback',
    cancelTransactions: true,
    operation: 'scale-9',
  } as const;
  const hold = await proxy.control.call('hold', params);
  expect(hold).toMatchObject({ held: true, blockers: [] });
  await proxy.control.call('release', {});
};

test('idle in a transaction: the next statement fails with 40001, then ROLLBACK and everything else work', async () => {
  const client = await connect();
  await client.query('create table if not exists canceled (n int)');
  await client.query('begin');
  await client.query('insert into canceled values (1)');
  await holdAndRelease();

  await expect(client.query('select 1')).rejects.toMatchObject({ code: '40001' });
  await expect(client.query('select 1')).rejects.toMatchObject({ code: '25P02' });
  await client.query('rollback');
  expect((await client.query('select count(*)::int as n from canceled')).rows).toEqual([{ n: 0 }]);
  await client.end();
});

test('COMMIT of a canceled transaction fails aloud and ends it', async () => {
  const client = await connect();
  await client.query('begin');
  await holdAndRelease();
  await expect(client.query('commit')).rejects.toMatchObject({ code: '40001' });
  expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  await client.end();
});

test('ROLLBACK of a canceled transaction succeeds; extended protocol', async () => {
  const client = await connect();
  await client.query('begin');
  await holdAndRelease();
  await client.query({ text: 'rollback', name: 'r' });
  await client.query('begin');
  await holdAndRelease();
  await expect(client.query('select $1::int', [1])).rejects.toMatchObject({ code: '40001' });
  await client.query('rollback');
  expect((await client.query('select $1::int as one', [1])).rows).toEqual([{ one: 1 }]);
  await client.end();
});

test('a running statement fails with 40001', async () => {
  const client = await connect();
  await client.query('begin');
  const running = expect(client.query('select pg_sleep(60)')).rejects.toMatchObject({ code: '40001' });
  await holdAndRelease();
  await running;
  await expect(client.query('select 1')).rejects.toMatchObject({ code: '25P02' });
  await client.query('rollback');
  await client.end();
});
