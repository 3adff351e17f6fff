/** COPY from the client in all kinds of message sequences, straight to an engine and to one of several writers: the same answers and rows. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { TestCluster } from '../../multiwriter/writer/cluster.js';
import { socketOf } from '../../support/clients.js';
import { RawClient } from '../../support/raw-client.js';
import { cases, chunksOf, play } from '../../support/wire-cases.js';

/** A Sync within the data counts as read by the COPY, also where that has failed before: not so in PostgreSQL. */
const NAMES = [
  'error, pause, the rest',
  'error, megabytes behind it, no sync within',
  'sync behind execute, statement trigger fails',
  'trigger fails, client stops',
  'simple, sync in the data',
  'simple, several copies',
  'simple, several copies, first fails',
  'copy at once',
  'copies in one batch, at once',
  'copies in one batch, the first fails',
  'copies in one batch, syncs',
  'flush in the data',
  'flush behind an error',
  'copy fail at once, sync',
  'copy done twice',
  'copy done in a batch behind an error',
  'stray copy messages in a batch',
];

const TABLES = [
  'create table c (n int, seq serial primary key)',
  'create table t (n int primary key)',
  `create function no() returns trigger language plpgsql as $$ begin raise 'no'; end $$`,
  'create trigger no before insert on t execute function no()',
];

let cluster: TestCluster;
let plain: RawClient;
let writer: RawClient;

beforeAll(async () => {
  cluster = await TestCluster.start();
  const { directory, port } = socketOf(await cluster.engines.primary());
  plain = await RawClient.login({ path: `${directory}/.s.PGSQL.${port}` });
  writer = await RawClient.login(cluster.members[0]!.port);
  for (const client of [plain, writer])
    for (const sql of TABLES) expect((await client.query(sql)).errors).toEqual([]);
  await cluster.atRest();
}, 90_000);
afterAll(async () => {
  plain?.close();
  writer?.close();
  await cluster?.close();
});

it.each(NAMES)('%s', async (name) => {
  const chunks = chunksOf(cases[name]!);
  const expected = await play(plain, chunks, null);
  expect((await play(writer, chunks, expected.counts)).answers).toEqual(expected.answers);
  const [rows, others] = [await takeRows(plain), await takeRows(writer)];
  expect(others).toEqual(rows);
});

const takeRows = async (client: RawClient): Promise<unknown> => {
  const { rows } = await client.query('select n from c order by seq');
  await client.query('delete from c');
  return rows;
};

it('and both writers have the same', () => cluster.atRest());
