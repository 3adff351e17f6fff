/** Sessions of a writer that have drawn from sequences go along when its engine is changed, and no sequence notices. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type pg from 'pg';
import { withAdmin } from '../../../src/engine/index.js';
import { Switching } from '../../support/switching.js';
import { TestCluster } from './cluster.js';

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.start();
}, 60_000);
afterAll(() => cluster?.close());

const rows = async (client: pg.Client, sql: string): Promise<unknown[]> =>
  (await client.query({ text: sql, rowMode: 'array' })).rows as unknown[];

/** Of both writers: where their sequences are, and what a transaction left behind. */
const untouched = (): Promise<unknown[]> =>
  Promise.all(
    cluster.members.map(({ engine }) =>
      withAdmin(engine, async (query) => [
        await query(`select 'ord', last_value, is_called from public.ord_id_seq union all
          select 'item', last_value, is_called from public.item_id_seq union all
          select 'bare', last_value, is_called from public.bare union all
          select 'set', last_value, is_called from public.set_only`),
        await query('select relname, relfilenode from pg_class where relkind = $$S$$ order by 1'),
        await query('select * from pg_sequence order by 1'),
        await query('select * from dbproxy.sequences order by 1'),
        await query('select count(*) from dbproxy.captured'),
      ]),
    ),
  );

it.each([0, 1])(
  'of writer %i',
  async (id) => {
    const member = cluster.members[id]!;
    const first = await cluster.members[0]!.connect();
    for (const sql of [
      'drop table if exists ord, item',
      'drop sequence if exists bare, set_only',
      'create table ord (id serial primary key, n int)',
      'create table item (id int generated always as identity primary key, n int)',
      'create sequence bare increment -10 start 500 maxvalue 1000',
      'create sequence set_only',
    ])
      await first.query(sql);
    await first.end();
    await cluster.atRest();
    const client = await member.connect();
    const another = await member.connect();
    for (let n = 0; n < 3; n++) await client.query('insert into ord (n) values (1)');
    await client.query('insert into item (n) values (1), (2)');
    await client.query(`select nextval('bare')`);
    await client.query(`select nextval('ord_id_seq')`);
    await another.query(`select setval('set_only', 100)`);
    await cluster.atRest();
    const known = `select lastval(), currval('ord_id_seq'), currval('item_id_seq'), currval('bare')`;
    const before = await rows(client, known);
    const [[wasSet]] = (await rows(another, `select currval('set_only')`)) as [[string]];
    const there = await untouched();

    const switching = new Switching(cluster.engines, member.engine);
    const { moved, failed } = await switching.move(member.proxy!);
    member.engine = switching.primary;

    expect({ moved, failed }).toEqual({ moved: 2, failed: [] });
    expect(await rows(client, known)).toEqual(before);
    expect(await rows(another, `select currval('set_only')`)).toEqual([[wasSet]]);
    await expect(another.query('select lastval()')).rejects.toMatchObject({ code: '55000' });
    expect(await untouched()).toEqual(there);
    const [[lastOfMine]] = (await rows(client, `select currval('ord_id_seq')`)) as [[string]];
    expect(await rows(client, 'insert into ord (n) values (2) returning id')).toEqual([
      [Number(lastOfMine) + 16],
    ]);
    await client.end();
    await another.end();
    await cluster.atRest();
  },
  90_000,
);
