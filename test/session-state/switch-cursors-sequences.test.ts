/** Rows 9, 14, 15 through a whole switch: the client goes on where it was, on the other engine, and then on a third. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { TestEngines } from '../support/engines.js';
import { TestProxy } from '../support/proxies.js';
import { connectPg, directTo, withPg } from '../support/clients.js';
import { Switching } from '../support/switching.js';

let engines: TestEngines;
let switching: Switching;

beforeAll(async () => {
  engines = await TestEngines.open();
  const primary = await engines.primary();
  switching = new Switching(engines, primary);
  await withPg(directTo(primary), (admin) => admin.query('create table t (id serial, n int)'));
});

afterAll(async () => {
  await engines?.close();
});

it('held cursors, currval and lastval, LOAD; twice', async () => {
  const proxy = await TestProxy.start(engines, switching.primary);
  const client = await connectPg(proxy.url());
  const rows = async (sql: string): Promise<unknown[]> =>
    (await client.query({ text: sql, rowMode: 'array' })).rows as unknown[];
  await client.query(`load 'auto_explain'`);
  await client.query('declare back scroll cursor with hold for select g from generate_series(1, 9) g');
  await client.query('declare forth no scroll cursor with hold for select g from generate_series(1, 9) g');
  await client.query('move 4 from back');
  await client.query('move 2 from forth');
  await client.query('insert into t (n) values (1), (2), (3)');
  for (const [next, prior] of [
    [3, 4],
    [4, 4],
  ]) {
    const { moved, failed, stateMoved } = await switching.move(proxy);
    expect({ moved, failed }).toEqual({ moved: 1, failed: [] });
    expect(stateMoved).toMatchObject({ cursors: 2, sequences: 1 });
    expect(await rows('fetch next from forth')).toEqual([[next]]);
    expect(await rows('fetch next from back')).toEqual([[5]]);
    expect(await rows('fetch prior from back')).toEqual([[prior]]);
    expect(await rows(`select lastval()::int, currval('t_id_seq')::int`)).toEqual([[3, 3]]);
    await expect(client.query(`set auto_explain.log_min_duration = 'x'`)).rejects.toMatchObject({
      code: '22023',
    });
  }
  await client.end();
  await proxy.stop();
});

it('a prepared transaction that has drawn keeps those who have drawn where they are, and none of them is lost', async () => {
  const proxy = await TestProxy.start(engines, switching.primary);
  const [client, coordinator] = [await connectPg(proxy.url()), await connectPg(proxy.url())];
  const { rows } = await client.query<{ id: number }>('insert into t (n) values (4) returning id');
  await coordinator.query(`begin; insert into t (n) values (5); prepare transaction 'branch 1'`);
  await coordinator.query('discard sequences');

  await expect(switching.move(proxy)).rejects.toThrow(
    /holds currval of public\.t_id_seq, which the prepared transaction 'branch 1' has locked/,
  );

  await coordinator.query(`commit prepared 'branch 1'`);
  expect(await switching.move(proxy)).toMatchObject({ moved: 2, failed: [] });
  expect((await client.query(`select currval('t_id_seq')::int as id`)).rows).toEqual(rows);
  await Promise.all([client.end(), coordinator.end()]);
  await proxy.stop();
});
