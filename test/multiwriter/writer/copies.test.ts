/** A writer whose engine is a copy of another one's: what it lacks comes out of the log, all of it, and nobody begins before. */
import { afterEach, expect, it } from 'vitest';
import { withAdmin } from '../../../src/engine/index.js';
import { EngineLink } from '../../../src/switchover/engine-link.js';
import { promote } from '../../../src/switchover/promote.js';
import { eventually, value } from '../../support/clients.js';
import { Pause } from '../../support/pause.js';
import { retrying, TestCluster } from './cluster.js';

let cluster: TestCluster;
afterEach(() => cluster?.close());

it('one that comes late, while the first one is written, gets what was committed meanwhile', async () => {
  cluster = await TestCluster.start({ writers: 2, absentFrom: 1 });
  const [first, second] = [cluster.members[0]!, cluster.members[1]!];
  const client = await first.connect();
  await client.query('create table t (id int primary key)');
  second.engine = await cluster.engines.standbyOf(first.engine);
  const link = await EngineLink.open(second.engine);
  await promote(link).finally(() => link.close());
  // What the first one has on disk is what it tells the nodes that nobody needs any more; twice, so that it was told.
  for (const from of [0, 100]) {
    for (let id = from; id < from + 20; id++) await client.query('insert into t values ($1)', [id]);
    await eventually('all of it to be on disk', async () => {
      const { reached, durable } = await first.status();
      return JSON.stringify(durable) === JSON.stringify(reached);
    });
  }
  await second.start();
  await second.isOpen();
  await cluster.atRest();
  const late = await second.connect();
  expect(await value(late, 'select count(*)::int from t')).toBe(40);
  await late.query('insert into t values (1000)');
  await late.end();
  await client.end();
  await cluster.atRest();
}, 90_000);

it('one that has what came later, and not what came before, lets nobody begin until it has', async () => {
  cluster = await TestCluster.start();
  const [first, second] = [cluster.members[0]!, cluster.members[1]!];
  const client = await first.connect();
  await client.query('create table t (id int primary key, n int not null)');
  await client.query('insert into t values (2, 0), (3, 0)');
  await cluster.atRest();
  await second.kill();
  await client.query('update t set n = 1 where id = 3');
  await client.query('update t set n = 5 where id = 2');
  const position = JSON.parse(String(await value(client, 'select dbproxy.position()'))) as { 0: number };
  // Sessions commit in their engine in any order: a copy may end between the two.
  await withAdmin(second.engine, async (query) => {
    await query('set session authorization dbproxy_apply');
    await query('select dbproxy.prepare_applier()');
    const change = { kind: 'update', table: 'public.t', key: ['2'], row: '(2,5)' };
    await query('select dbproxy.apply($1, $2)', [position[0], JSON.stringify([change])]);
  });
  const applying = new Pause('writer.applying', cluster.engines.home);
  await second.start(applying.env);
  await second.isOpen();
  await applying.reached();
  const late = await second.connect();
  const added = retrying(() => late.query('update t set n = n + 10 where id = 3'));
  for (let i = 0; i < 20; i++) await client.query('update t set n = n + 1 where id = 2');
  await applying.goOn();
  await added;
  await cluster.atRest();
  expect(await value(client, 'select n from t where id = 3')).toBe(11);
  await late.end();
  await client.end();
}, 90_000);
