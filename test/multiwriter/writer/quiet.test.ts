/** Definitions that are changed in a client's block: the others are asked to be quiet first, in both query protocols. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type pg from 'pg';
import { encode } from '../../../src/protocol/index.js';
import { connectPg, directTo } from '../../support/clients.js';
import { RawClient } from '../../support/raw-client.js';
import { TestCluster } from './cluster.js';

let cluster: TestCluster;
let other: pg.Client;

beforeAll(async () => {
  cluster = await TestCluster.start();
  other = await cluster.members[1]!.connect();
  const client = await cluster.members[0]!.connect();
  await client.query('create table t (id int primary key, n int not null)');
  await client.query('insert into t values (1, 0)');
  await client.end();
  await cluster.atRest();
}, 60_000);
afterAll(async () => {
  await other?.end();
  await cluster?.close();
});

const batch = (sql: string): Buffer[] => [
  encode.parse('', sql),
  encode.bind('', '', []),
  encode.execute(),
  encode.sync(),
];

/**
 * Whether it was refused. What the other one commits next is not applied here before the statement has begun; nobody waits for it for
 * longer than a second.
 */
async function define(
  raw: RawClient,
  name: string,
  messages: (sql: string) => Buffer[],
): Promise<readonly string[]> {
  const holder = await connectPg(directTo(cluster.members[0]!.engine));
  try {
    await holder.query('begin');
    await holder.query('select from t where id = 1 for update');
    await other.query('update t set n = n + 1');
    await raw.query('begin');
    raw.send(...messages(`create table ${name} (id int primary key)`));
    await delay(100);
    await holder.query('rollback');
    const defined = await raw.answer();
    raw.send(...messages('commit'));
    const committed = await raw.answer();
    return [...defined.errors, ...committed.errors];
  } finally {
    await holder.end();
  }
}

it.each([
  ['the simple protocol', 'a', (sql: string) => [encode.query(sql)]],
  ['the extended protocol', 'b', batch],
])('by %s they see what the others have committed, and are not refused', async (_what, name, messages) => {
  const raw = await RawClient.login(cluster.members[0]!.port);
  let refused: readonly string[] = [];
  // A machine at its limit may need more than that second.
  for (let time = 1; time <= 5; time++) {
    refused = await define(raw, `${name}${time}`, messages);
    await cluster.atRest();
    if (refused.length === 0) break;
  }
  expect(refused).toEqual([]);
  raw.close();
});

it.each([
  ['of a temporary table', (n: number) => [`alter table own add c${n} int`]],
  [
    'that is rolled back',
    (n: number) => ['begin', `create table never${n} (id int primary key)`, 'rollback'],
  ],
])('one %s does not keep the others quiet when it is over', async (_what, statements) => {
  const definer = await cluster.members[0]!.connect();
  await definer.query('create temporary table own (a int)');
  let written = false;
  const repeated = async (): Promise<void> => {
    for (let n = 0; n < 300 && !written; n++) for (const sql of statements(n)) await definer.query(sql);
  };
  const running = repeated();
  const write = other.query('update t set n = n + 1').then(() => (written = true));
  await running;
  expect(written).toBe(true);
  await write;
  await definer.end();
});
