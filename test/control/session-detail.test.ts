/** One session as deep as it goes: `sessions ID`, and Enter in the terminal UI. */
import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { SessionResult, UpResult } from '../../src/control/api.js';
import { connectSupervisor, type Supervisor } from '../../src/control/client.js';
import { LiveHome, scale, until } from './live.js';

let home: LiveHome;
let up: UpResult;
let supervisor: Supervisor;

beforeAll(async () => {
  home = await LiveHome.open();
  up = await home.up('detail');
  supervisor = await connectSupervisor('detail');
}, 120_000);
afterAll(async () => {
  supervisor.close();
  await home.close();
});

async function open(application: string): Promise<{ client: pg.Client; look: () => Promise<SessionResult> }> {
  const client = new pg.Client({ connectionString: up.url, application_name: application });
  await client.connect();
  const { sessions } = await supervisor.call('sessions', {});
  const id = sessions.find((session) => session.application === application)?.id ?? 0;
  return { client, look: () => supervisor.call('session', { id, withinMs: 500 }) };
}

it('tells all that it holds, with values and sizes, and its moves', async () => {
  const { client, look } = await open('holder');
  await client.query(`set work_mem = '19MB'; set app.tenant = 'nörd'`);
  await client.query('prepare by_id (int) as select $1 + 1');
  await client.query('create temp table cart as select generate_series(1, 1000) as item');
  await client.query('listen "Ördé"');
  await client.query('select pg_advisory_lock(3, 4)');
  const { holds, report, locks, moves } = await look();
  expect(report).toMatchObject({ movable: true, looked: true });
  expect(holds).toEqual(
    expect.arrayContaining([
      { kind: 'settings', name: 'work_mem', detail: '19456 kB', bytes: null },
      { kind: 'customSettings', name: 'app.tenant', detail: 'nörd', bytes: null },
      {
        kind: 'preparedStatements',
        name: 'by_id',
        detail: 'prepare by_id (int) as select $1 + 1',
        bytes: null,
      },
      { kind: 'tempObjects', name: 'cart', detail: 'table', bytes: expect.any(Number) as number },
      { kind: 'listen', name: 'Ördé', detail: '', bytes: null },
      { kind: 'advisoryLocks', name: '3, 4', detail: 'exclusive', bytes: null },
    ]),
  );
  expect(holds.find(({ name }) => name === 'cart')?.bytes).toBeGreaterThan(40_000);
  expect(locks).toContainEqual({ mode: 'ExclusiveLock', on: 'advisory', granted: true });
  expect(moves).toEqual([]);

  const { from, to, holdMs } = await scale('detail', 'medium');
  const moved = await look();
  expect(moved.moves).toMatchObject([{ from: from.engine, to: to.engine }]);
  expect(moved.moves[0]?.heldMs).toBeGreaterThan(0);
  expect(moved.moves[0]?.heldMs).toBeLessThanOrEqual(holdMs.max + 1);
  expect(moved.holds.find(({ name }) => name === 'cart')?.bytes).toBeGreaterThan(40_000);
  await client.end();
}, 120_000);

it('of one in a transaction: what its backend says, and why it cannot be looked at', async () => {
  const [blocker, blocked] = [await open('blocker'), await open('blocked')];
  await blocker.client.query('create table if not exists contended as select 1 as n');
  await blocker.client.query('begin; update contended set n = 2');
  const waits = blocked.client.query('update contended set n = 3');
  await until('it waits', async () => (await blocked.look()).waitsFor === 'Lock: transactionid');
  const { report, locks, transactionMs, session } = await blocked.look();
  expect(report).toMatchObject({ movable: false, looked: false });
  expect(report.reasons[0]).toMatch(/has been running a statement/);
  expect(locks.filter(({ granted }) => !granted)).toHaveLength(1);
  expect(locks).toContainEqual({ mode: 'RowExclusiveLock', on: 'public.contended', granted: true });
  expect(transactionMs).toBeGreaterThan(0);
  expect(session.query).toBe('update contended set n = 3');
  await blocker.client.query('commit');
  await waits;
  await Promise.all([blocker.client.end(), blocked.client.end()]);
});

it('of one that is not there', async () => {
  await expect(supervisor.call('session', { id: 9_999, withinMs: 500 })).rejects.toMatchObject({
    code: 'DBP_USAGE_UNKNOWN_SESSION',
  });
});
