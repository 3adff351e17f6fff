/** Rows 10 and 11 through whole switches: what a client built in its temporary schema is there, and it goes on building. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { connectPg } from '../support/clients.js';
import { TestEngines } from '../support/engines.js';
import { TestProxy } from '../support/proxies.js';
import { Switching } from '../support/switching.js';

let engines: TestEngines;
let switching: Switching;
let proxy: TestProxy;

beforeAll(async () => {
  engines = await TestEngines.open();
  switching = new Switching(engines, await engines.primary());
  proxy = await TestProxy.start(engines, switching.primary);
});
afterAll(async () => {
  await proxy?.stop();
  await engines?.close();
});

it('temporary objects and their rows; twice', async () => {
  const client = await connectPg(proxy.url());
  const rows = async (sql: string): Promise<unknown[]> =>
    (await client.query({ text: sql, rowMode: 'array' })).rows as unknown[];
  for (const sql of [
    `create type pg_temp.mood as enum ('good', 'bad')`,
    "create temp table p (id serial primary key, m pg_temp.mood, note text default upper('x'))",
    'create temp table c (p int references p on delete cascade)',
    `insert into p (m) select (array['good', 'bad'])[1 + g % 2]::pg_temp.mood from generate_series(1, 1000) g`,
    'insert into c select id from p where id <= 10',
    'create index on p (m, note)',
    "create temp view good as select * from p where m = 'good'",
    'create function pg_temp.size() returns bigint language sql as $$select count(*) from pg_temp.p$$',
    'create temp table each_time (n int) on commit delete rows',
    'prepare by_mood as select count(*)::int from p where m = $1',
    'declare held cursor with hold for select id, m from p order by id',
    'move 2 from held',
  ])
    await client.query(sql);
  for (const [count, next] of [
    [1_000, 3],
    [1_001, 4],
  ] as const) {
    const { failed, stateMoved } = await switching.move(proxy);
    expect(failed).toEqual([]);
    expect(stateMoved).toMatchObject({ tempTables: 3, cursors: 1, preparedStatements: 1 });
    expect(stateMoved.tempBytes).toBeGreaterThan(10_000);
    expect(await rows('select pg_temp.size()::int, (select count(*)::int from good)')).toEqual([
      [count, 500],
    ]);
    expect(await rows(`execute by_mood('bad')`)).toEqual([[count - 500]]);
    expect(await rows('fetch next from held')).toEqual([[next, next % 2 === 0 ? 'good' : 'bad']]);
    await expect(client.query('insert into c values (0)')).rejects.toMatchObject({ code: '23503' });
    await client.query('insert into each_time values (1)');
    expect(await rows('select * from each_time')).toEqual([]);
    expect(await rows(`insert into p (m) values ('bad') returning id, note`)).toEqual([[count + 1, 'X']]);
    expect(await rows('select lastval()::int')).toEqual([[count + 1]]);
  }
  await client.query('delete from p where id = 5');
  expect(await rows('select count(*)::int from c')).toEqual([[9]]);
  await client.end();
});

it('a statement on a temporary table that hides a permanent one', async () => {
  const client = await connectPg(proxy.url());
  for (const sql of [
    'create table hidden (n int)',
    `create temp table hidden as select 'mine' as t`,
    'prepare mine as select * from hidden',
  ])
    await client.query(sql);
  expect((await switching.move(proxy)).failed).toEqual([]);
  expect((await client.query('execute mine')).rows).toEqual([{ t: 'mine' }]);
  await client.end();
});
