/** Clients that hold locks in the way of what another writer has committed, and do nothing: they are rolled back all the same. */
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type pg from 'pg';
import { encode, Frontend } from '../../../src/protocol/index.js';
import { RawClient } from '../../support/raw-client.js';
import { TestCluster } from './cluster.js';

let cluster: TestCluster;
let writer: pg.Client;
const raws: RawClient[] = [];
const login = async (): Promise<RawClient> => {
  const raw = await RawClient.login(cluster.members[1]!.port);
  raws.push(raw);
  return raw;
};

beforeAll(async () => {
  cluster = await TestCluster.start();
  writer = await cluster.members[0]!.connect();
  await writer.query('create table t (id int primary key, n int not null default 0)');
  await writer.query('insert into t values (1)');
  await cluster.atRest();
}, 60_000);

afterEach(() => {
  for (const raw of raws.splice(0)) raw.close();
});
afterAll(async () => {
  await writer?.end().catch(() => undefined);
  await cluster?.close();
});

const isRolledBack = async (raw: RawClient): Promise<void> => {
  expect(await raw.query('select 1')).toMatchObject({ errors: ['40001'], status: 'E' });
  expect(await raw.query('rollback')).toMatchObject({ errors: [], tags: ['ROLLBACK'], status: 'I' });
  expect(await raw.query('select 1')).toMatchObject({ errors: [], rows: [['1']], status: 'I' });
};

it('a transaction that only reads, and idles', async () => {
  const raw = await login();
  await raw.query('begin read only');
  expect(await raw.query('select count(*) from t')).toMatchObject({ errors: [] });
  await writer.query('truncate t');
  await cluster.atRest();
  await isRolledBack(raw);
}, 60_000);

it('a LOCK TABLE that begins a transaction, in the extended protocol', async () => {
  const raw = await login();
  for (const sql of ['begin', 'lock table t']) {
    raw.send(encode.parse('', sql), encode.bind('', '', []), encode.execute(), encode.sync());
    expect(await raw.answer()).toMatchObject({ errors: [] });
  }
  await writer.query('insert into t values (1)');
  await cluster.atRest();
  await isRolledBack(raw);
}, 60_000);

it('what is below a savepoint whose statement was canceled', async () => {
  const raw = await login();
  await raw.query('begin');
  await raw.query('update t set n = n + 1 where id = 1');
  await raw.query('savepoint s');
  raw.send(encode.query('select pg_sleep(60)'));
  await writer.query('update t set n = 5 where id = 1');
  expect(await raw.answer()).toMatchObject({ errors: ['40001'], status: 'E' });
  await cluster.atRest();
  // The savepoint went with the transaction.
  expect(await raw.query('rollback to savepoint s')).toMatchObject({ errors: ['40001'], status: 'E' });
  expect(await raw.query('commit')).toMatchObject({ errors: ['40001'], status: 'I' });
  expect(await raw.query('select n from t where id = 1')).toMatchObject({ rows: [['5']], status: 'I' });
}, 60_000);

it('what is below a savepoint, of a batch whose Sync does not come', async () => {
  const raw = await login();
  await raw.query('begin');
  await raw.query('update t set n = n + 1 where id = 1');
  await raw.query('savepoint s');
  const sleep = [encode.parse('', 'select pg_sleep(60)'), encode.bind('', '', []), encode.execute()];
  raw.send(...sleep, encode.flush());
  await writer.query('update t set n = 6 where id = 1');
  expect(await raw.answer('E')).toMatchObject({ errors: ['40001'] });
  await cluster.atRest();
  raw.send(...sleep, encode.sync());
  expect(await raw.answer()).toMatchObject({ types: 'Z', status: 'E' });
  await isRolledBack(raw);
}, 60_000);

it('a batch outside of a transaction whose Sync does not come: it is told before that', async () => {
  const raw = await login();
  const update = encode.parse('', 'update t set n = n + 1 where id = 1');
  raw.send(update, encode.bind('', '', []), encode.execute(), encode.flush());
  expect(await raw.answer('C')).toMatchObject({ errors: [] });
  await writer.query('update t set n = 8 where id = 1');
  await cluster.atRest();
  expect(await raw.answer('E')).toMatchObject({ errors: ['40001'] });
  raw.send(encode.sync());
  expect(await raw.answer()).toMatchObject({ types: 'Z', status: 'I' });
  expect(await raw.query('select n from t where id = 1')).toMatchObject({ rows: [['8']], status: 'I' });
}, 60_000);

it('a COPY whose client sends nothing', async () => {
  const raw = await login();
  await raw.query('begin');
  await raw.query('update t set n = n + 1 where id = 1');
  raw.send(encode.query('copy t from stdin'));
  await raw.answer('G');
  await writer.query('update t set n = 7 where id = 1');
  await cluster.atRest();
  expect(await raw.answer()).toMatchObject({ errors: ['40001'], status: 'E' });
  raw.send(Buffer.from([Frontend.CopyDone, 0, 0, 0, 4]));
  await isRolledBack(raw);
}, 60_000);
