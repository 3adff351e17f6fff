/** What is new in PostgreSQL 18: keys WITHOUT OVERLAPS, columns that are generated when they are read, constraints that are not enforced. */
import { describe, expect, it } from 'vitest';
import { engineKind } from '../../support/provider.js';
import { useTwoWriters } from './writers.js';

describe.skipIf(engineKind() === 'docker')('PostgreSQL 18', async () => {
  const { b, onBoth, areEqual, exclude } = await useTwoWriters('18');

  it('of two rows that overlap one commits', async () => {
    await onBoth('create extension btree_gist');
    await onBoth(
      'create table stays (room int, during int4range, guest text, primary key (room, during without overlaps))',
    );
    await onBoth(`insert into stays values (1, '[1,5)', 'a'), (2, '[1,5)', 'b')`);
    expect(
      await exclude(
        `insert into stays values (1, '[5,9)', 'c')`,
        `insert into stays values (1, '[8,10)', 'd')`,
      ),
    ).toBe(true);
    await onBoth(
      `update stays set during = '[3,7)' where room = 1`,
      `update stays set guest = 'z' where room = 2`,
    );
    await onBoth(
      `update stays set during = '[5,9)' where room = 1`,
      `insert into stays values (1, '[1,5)', 'e')`,
    );
    await onBoth(
      `delete from stays where during = '[1,5)' and room = 1`,
      `insert into stays values (1, '[2,3)', 'f')`,
    );
    await areEqual();
  });

  it('a period that is referred to stays', async () => {
    await onBoth(
      'create table prices (product int, valid int4range, price int, primary key (product, valid without overlaps))',
    );
    await onBoth(
      'create table sold (id int primary key, product int, valid int4range, foreign key (product, period valid) references prices (product, period valid))',
    );
    await onBoth(`insert into prices values (1, '[1,10)', 7), (2, '[1,10)', 8)`);
    const sells = `insert into sold values (1, 1, '[2,4)')`;
    expect(await exclude(sells, `delete from prices where product = 1`)).toBe(true);
    expect(await exclude(sells, `update prices set valid = '[3,10)' where product = 1`)).toBe(true);
    expect(await exclude(sells, `update prices set price = 9 where product = 1`)).toBe(false);
    await onBoth(sells);
    expect(
      await exclude(`update sold set valid = '[4,9)'`, `update prices set valid = '[1,8)' where product = 1`),
    ).toBe(true);
    await areEqual();
  });

  it('columns that are generated when they are read', async () => {
    await onBoth(
      'create table virtual (id int primary key, n int, twice int generated always as (n * 2) virtual, kept int generated always as (n * 3) stored)',
    );
    await onBoth('insert into virtual values (1, 2), (2, 3)', 'update virtual set n = n + 1 where id = 1');
    await onBoth('alter table virtual alter twice set expression as (n * 4)');
    await onBoth('update virtual set n = n + 1 where twice = 12');
    expect(await b.rows('select * from public.virtual order by id')).toEqual([
      [1, 4, 16, 12],
      [2, 4, 16, 12],
    ]);
    await areEqual();
  });

  it('constraints that are not enforced, and NOT NULL that is not validated', async () => {
    await onBoth('create table parent (id int primary key)');
    await onBoth(
      'create table loose (id int primary key, p int constraint refers references parent not enforced, n int constraint small check (n < 5) not enforced)',
    );
    await onBoth('insert into loose values (1, 7, 9)', 'insert into parent values (1)');
    await onBoth('alter table loose add constraint n_there not null n not valid');
    await onBoth('update loose set p = 1');
    await onBoth(
      'alter table loose alter constraint refers enforced',
      'alter table loose validate constraint n_there',
    );
    await expect(onBoth('insert into loose values (2, 2, 1)')).rejects.toMatchObject({ code: '23503' });
    await onBoth('insert into loose values (2, 1, 10)');
    await areEqual();
  });

  it('OLD and NEW in RETURNING, MERGE', async () => {
    await onBoth(
      'create table counted (id int primary key, n int)',
      'create table log (id int generated always as identity primary key, was int, is_now int)',
    );
    await onBoth('insert into counted select g, g from generate_series(1, 5) g');
    await onBoth(
      'with u as (update counted set n = n + 1 where id > 3 returning old.n as o, new.n as w) insert into log (was, is_now) select * from u',
    );
    await onBoth(`with m as (merge into counted c using (values (1), (9)) s (id) on c.id = s.id when matched then delete when not matched then insert values (s.id, 0)
      when not matched by source then update set n = -c.n returning old.n as o, new.n as w) insert into log (was, is_now) select * from m`);
    await areEqual();
  });
});
