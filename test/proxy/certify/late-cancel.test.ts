/** A statement that stands in the way of another writer's commit is canceled; if that comes too late, it hits nothing of ours. */
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { connectAdmin } from '../../../src/engine/index.js';
import { TestCluster } from '../../multiwriter/writer/cluster.js';
import { eventually } from '../../support/clients.js';
import { SlowCancels } from '../../support/slow-cancels.js';

let cluster: TestCluster;
let way: SlowCancels;

beforeAll(async () => {
  cluster = await TestCluster.start();
  const { engine, call } = cluster.members[1]!;
  way = await SlowCancels.before(engine, join(cluster.engines.home, 'slow'));
  await call('route', { engine: way.route });
});

afterAll(async () => {
  await cluster?.close();
  await way?.close();
});

it('a session is not looked at while the cancel of its statement is on the way, and is afterwards', async () => {
  const [first, second] = cluster.members;
  const elsewhere = await first!.connect();
  await elsewhere.query('create table t (id int primary key)');
  await elsewhere.query('create table closed (id int primary key)');
  await cluster.atRest();
  const client = await second!.connect();
  // Holds a lock on t, and waits until the other one is open.
  const closer = await connectAdmin(second!.engine, { timeoutMs: 20_000 });
  await closer.query('begin; lock table public.closed');
  const reading = client.query('select count(*)::int as n from t, closed');
  await eventually('it to wait', async () => {
    const { rows } = await closer.query('select 1 from pg_locks where not granted');
    return rows.length === 1;
  });
  await elsewhere.query('truncate t');
  await eventually('the cancel to be on its way', () => way.waiting === 1);
  await closer.query('commit');
  expect((await reading).rows).toEqual([{ n: 0 }]);

  const early = await second!.call('check', { withinMs: 100 });
  expect(early).toMatchObject([{ looked: false }]);
  const late = second!.call('check', { withinMs: 5_000 });
  way.letGo();
  expect(await late).toMatchObject([{ looked: true }]);
  expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  await cluster.atRest();
  await Promise.all([client.end(), elsewhere.end(), closer.end()]);
});
