/** What a client cannot name as we name ours, and what of ours it can neither rename nor drop. */
import { beforeAll, beforeEach, expect, it } from 'vitest';
import { checksums, install } from '../../../src/multiwriter/engine/index.js';
import { SECRET, type TestWriter, useTwoWriters, writeOnBoth } from './writers.js';

const { a, b, onBoth } = await useTwoWriters();
beforeAll(async () => {
  await onBoth(
    'create table t (id int primary key, v int constraint v_is_one unique)',
    'create table other (id int primary key)',
    'create table parted (id int primary key) partition by range (id)',
    'create table part partition of parted for values from (0) to (100)',
    'create domain small as int constraint is_small check (value < 10)',
    'create function nothing() returns trigger language plpgsql as $$ begin return new; end $$',
    'create trigger mine before insert on t for each row execute function nothing()',
  );
});
beforeEach(() => a.client.query('rollback'));

/** Of t and other: as they were, and as on the other writer. */
const capturing = async (): Promise<void> => {
  await onBoth(
    'insert into t values (1, 1)',
    'insert into other values (1)',
    'insert into parted values (1)',
  );
  await onBoth('update t set v = 2', 'create table after_it ()', 'update t set v = 3', 'drop table after_it');
  await onBoth('delete from t', 'delete from other', 'delete from parted');
  expect(await checksums(b.watcher)).toEqual(await checksums(a.watcher));
};

it.each([
  'create table n (id int primary key, constraint dbproxy_capture check (id > 0))',
  'create table n (id int, constraint dbproxy_capture unique (id) deferrable)',
  'create table n (id int, constraint dbproxy_capture foreign key (id) references t)',
  'alter table parted rename constraint parted_pkey to dbproxy_capture',
  'alter index parted_pkey rename to dbproxy_capture',
  'create domain d as int constraint dbproxy_capture check (value > 0)',
  'alter domain small add constraint dbproxy_capture check (value > 0)',
  'alter domain small rename constraint is_small to dbproxy_capture',
  'create trigger dbproxy_refuse before update on t for each row execute function nothing()',
  'create trigger dbproxy_refuse before update on parted for each row execute function nothing()',
  'create or replace trigger dbproxy_truncate after truncate on t execute function nothing()',
  'create trigger dbproxy_mine before insert on t for each row execute function nothing()',
  'alter trigger mine on t rename to dbproxy_refuse',
  'create schema s create table n (id int, constraint dbproxy_capture check (id > 0))',
])('is refused: %s', async (sql) => {
  await expect(a.write(sql)).rejects.toMatchObject({
    code: '42939',
    hint: expect.stringMatching(/./) as string,
  });
  await capturing();
});

it.each([
  'drop trigger dbproxy_capture on t',
  'drop trigger dbproxy_truncate on t',
  'alter trigger dbproxy_capture on t rename to x',
  'alter trigger dbproxy_truncate on t rename to x',
  'alter table t rename constraint dbproxy_capture to x',
])('is not for clients: %s', async (sql) => {
  await expect(a.write(sql)).rejects.toMatchObject({ code: '42501' });
  await capturing();
});

it.each([
  'alter table t add constraint dbproxy_capture check (id > 0)',
  'alter table parted add constraint dbproxy_capture check (id > 0)',
  'alter table t rename constraint v_is_one to dbproxy_capture',
  'alter index v_is_one rename to dbproxy_capture',
  'create constraint trigger dbproxy_capture after insert on t for each row execute function nothing()',
  'alter table t drop constraint dbproxy_capture',
])('PostgreSQL itself refuses: %s', async (sql) => {
  await expect(a.write(sql)).rejects.toMatchObject({
    code: expect.stringMatching(/^(42710|2BP01)$/) as string,
  });
  await capturing();
});

it.each([
  'alter table t disable trigger dbproxy_capture',
  'alter table t disable trigger dbproxy_truncate',
  'alter table t enable replica trigger dbproxy_capture',
  'alter table t enable trigger dbproxy_capture',
  'create temp table of_mine (id int constraint dbproxy_capture check (id > 0) not null)',
  'alter table t add constraint dbproxy_captured check (id > 0)',
])('changes nothing of ours: %s', async (sql) => {
  await onBoth(sql);
  await capturing();
});

it('a constraint that was there before is named at the installation, and keeps nobody from writing', async () => {
  const again = () => install(a.watcher, { writer: 0, writers: [0, 1], incarnation: 1, secret: SECRET });
  const past = (sql: string) =>
    a.watcher
      .query(`alter event trigger dbproxy_ddl disable; alter event trigger dbproxy_drop disable; ${sql};
      alter event trigger dbproxy_ddl enable always; alter event trigger dbproxy_drop enable always`);
  await past('create domain public.before as int constraint dbproxy_capture check (value > 0)');
  try {
    await onBoth(
      'insert into t values (5, 5)',
      'truncate other',
      'insert into t values (6, 6)',
      'truncate t',
    );
    await onBoth('insert into t values (7, 7)');
    await onBoth('delete from t');
    const named = { code: '42939', message: expect.stringContaining('public.before') as string };
    await expect(again()).rejects.toMatchObject(named);
    await past(
      'drop domain public.before; create trigger dbproxy_refuse before update on public.t for each row execute function public.nothing()',
    );
    await expect(again()).rejects.toMatchObject({
      code: '42939',
      message: expect.stringContaining('dbproxy_refuse') as string,
    });
  } finally {
    await past('drop domain if exists public.before; drop trigger if exists dbproxy_refuse on public.t');
  }
  await again();
  await capturing();
});

it('a unique index whose constraint is renamed has one name on all writers', async () => {
  await onBoth('alter table t rename constraint v_is_one to v_is_two');
  const keys = async (one: TestWriter, two: TestWriter) => {
    const written = await writeOnBoth(one, two, 'insert into t values (7, 7)');
    await writeOnBoth(one, two, 'delete from t');
    return written!.writeSet.keys;
  };
  const before = await keys(a, b);
  await install(b.watcher, { writer: 1, writers: [0, 1], incarnation: 1, secret: SECRET });
  expect(await keys(b, a)).toEqual(before);
});
