/** A hold of one of several writers: its clients come to their safe points, and then what others have written is waited for. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { encode } from '../../../src/protocol/index.js';
import { eventually, value } from '../../support/clients.js';
import { Pause } from '../../support/pause.js';
import { RawClient } from '../../support/raw-client.js';
import { TestCluster } from '../../multiwriter/writer/cluster.js';

const HOLD = { unmovable: 'rollback', cancelTransactions: false, operation: 'test' } as const;

let cluster: TestCluster;
beforeAll(async () => void (cluster = await TestCluster.start()), 60_000);
afterAll(() => cluster?.close());

it('one whose budget is spent while the writer still applies something is given up, and nobody stays held', async () => {
  const [first, second] = cluster.members as [(typeof cluster.members)[0], (typeof cluster.members)[0]];
  const pause = new Pause('writer.applying', cluster.engines.home);
  await pause.goOn();
  await second.kill();
  await second.start(pause.env);
  await second.isOpen();
  const [writer, client] = [await first.connect(), await second.connect()];
  await writer.query('create table t (id int primary key)');
  await cluster.atRest();

  await pause.again();
  await writer.query('insert into t values (1)');
  await pause.reached();
  await second.call('survey', { withinMs: 500 });
  const held = await second.call('hold', { ...HOLD, budgetMs: 300 });
  expect(held).toMatchObject({ held: false, blockers: [] });
  expect(await second.call('status', {})).toMatchObject({ gate: 'open', held: 0 });
  await pause.goOn();
  await cluster.atRest();
  expect(await value(client, 'select id from t')).toBe(1);

  // It goes on: the next one has nothing to wait for.
  expect(await second.call('hold', { ...HOLD, budgetMs: 5_000 })).toMatchObject({ held: true });
  await second.call('release', {});
  await writer.query('insert into t values (2)');
  await cluster.atRest();
  expect(await value(client, 'select count(*)::int from t')).toBe(2);
  await Promise.all([writer.end(), client.end()]);
});

it('a COMMIT that is certified without its client is waited for: the engine that takes over would never get it', async () => {
  const [first, second] = cluster.members as [(typeof cluster.members)[0], (typeof cluster.members)[0]];
  const writer = await first.connect();
  await writer.query('create table alone (id int primary key)');
  await cluster.atRest();
  const pause = new Pause('proxy.certify', cluster.engines.home);
  await second.kill();
  await second.start(pause.env);
  await second.isOpen();
  const raw = await RawClient.login(second.port);
  await raw.query('begin');
  await raw.query('insert into alone values (1)');
  raw.send(encode.query('commit'));
  await pause.reached();
  raw.socket.resetAndDestroy();
  await eventually('its session to be gone', async () => (await second.call('sessions', {})).length === 0);

  await second.call('survey', { withinMs: 500 });
  expect(await second.call('hold', { ...HOLD, budgetMs: 300 })).toMatchObject({ held: false, blockers: [] });
  expect(await second.call('status', {})).toMatchObject({ gate: 'open', held: 0 });
  const held = second.call('hold', { ...HOLD, budgetMs: 10_000 });
  await pause.goOn();
  expect(await held).toMatchObject({ held: true });
  await second.call('release', {});
  await cluster.atRest();
  expect(await value(writer, 'select id from alone')).toBe(1);
  await writer.end();
});
