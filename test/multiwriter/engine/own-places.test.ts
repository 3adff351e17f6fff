/** Definitions that say where or by whom, and mean something else on another engine; two real ones. */
import { describe, expect, it } from 'vitest';
import { failure, useTwoWriters } from './writers.js';

const { a, onBoth, areEqual, same } = await useTwoWriters();

describe('partitions', () => {
  const bounds = `select relname::text, pg_get_expr(relpartbound, oid) from pg_class where relpartbound is not null order by 1`;

  it('have the bounds that were computed where they were made', async () => {
    await onBoth(
      'create function somewhere() returns int immutable language sql as $$ select pg_backend_pid() $$',
      'create table events (at timestamptz) partition by range (at)',
      'create table days (d date, n int) partition by list (d)',
      'create table numbers_of (n int) partition by list (n)',
      'create table later (at timestamptz)',
    );
    for (const definition of [
      `create table "for" partition of events for values from (now() - interval '1 day') to (now()) with (fillfactor = 50)`,
      `alter table events attach partition later /* ' for values ( */ for -- '
         values from (clock_timestamp()) to ('infinity')`,
      `create table today partition of days for values in ('now', ('tomorrow')) partition by range (n)`,
      'create table low partition of today for values from (minvalue) to (5 + 5)',
      'create table other_days partition of days default',
      `create table here partition of numbers_of for values in (somewhere(), somewhere() + 1)`,
      `do $$ begin create table there partition of numbers_of for values in (length(E'a') * -1); end $$`,
    ]) {
      expect(await failure(onBoth(definition)), definition).toBeNull();
      await same(bounds);
    }
    await onBoth('insert into numbers_of select somewhere()', `insert into days values (now(), 1)`);
    await areEqual();
  });

  it('whose bounds are computed, and cannot be told: refused', async () => {
    await onBoth('create table more_events (at timestamptz) partition by range (at)');
    for (const definition of [
      `create table odd_one partition of more_events for values from (now()) to ($$infinity$$)`,
      `create schema with_two create table p (at timestamptz) partition by range (at)
         create table p1 partition of p for values from (now()) to ('infinity')
         create table p2 partition of p for values from ('-infinity') to ('2000-01-01')`,
    ])
      expect(await failure(a.write(definition)), definition).toMatchObject({
        code: '0A000',
        hint: expect.any(String) as string,
      });
  });
});

describe('what stays on its engine', () => {
  it('large objects, and what is said about them', async () => {
    await onBoth('create role keeper');
    await onBoth('select lo_create(4711)');
    await onBoth(`comment on large object 4711 is 'x'`);
    await onBoth('alter large object 4711 owner to keeper');
    await onBoth('create temporary table mine (id int)');
    expect(await onBoth('grant select on large object 4711 to public')).toBeNull();
    await onBoth('create table after_that (id int primary key)', 'grant select on after_that to keeper');
    await same(`select relacl::text from pg_class where relname = 'after_that'`);
    await onBoth('drop table mine');
  });

  it('a rule of a temporary table that always fires keeps nobody from definitions', async () => {
    await a.client.query('create temporary table mine (id int)');
    await onBoth('create rule always as on insert to mine do also select 1');
    await onBoth('alter table mine enable always rule always');
    await onBoth('create table beside_it (id int primary key)');
    await onBoth('drop table mine');
  });
});

it('checks of foreign keys that would fire on every writer are refused', async () => {
  await onBoth('create table referred (id int primary key)');
  await onBoth('create table refers (id int primary key, r int references referred on delete cascade)');
  const [[name]] = (await a.rows(
    `select tgname from pg_trigger where tgrelid = 'public.referred'::regclass and tgisinternal order by 1 limit 1`,
  )) as [[string]];
  expect(await failure(a.write(`alter table referred enable always trigger "${name}"`))).toMatchObject({
    code: '0A000',
    hint: expect.any(String) as string,
  });
});

it('a key whose type somebody casts, so that several operators would compare it, is found all the same', async () => {
  await onBoth(`create type tone as enum ('high', 'low')`, 'create type point_of as (x int, y int)');
  await onBoth(
    'create domain over_tone as tone',
    'create table notes (t over_tone, p point_of, ps tone[], v int, primary key (t, p, ps))',
  );
  await onBoth(`insert into notes values ('high', row(1, 2), '{low}', 1), ('low', row(1, 2), '{}', 1)`);
  for (const type of ['tone', 'point_of', 'tone[]']) {
    const name = `text_of_${type.replace(/\W/g, '')}`;
    await onBoth(`create function ${name}(${type}) returns text immutable language sql as $$ select 'x' $$`);
    await onBoth(`create cast (${type} as text) with function ${name}(${type}) as implicit`);
    await onBoth(`update notes set v = v + 1 where v > 0`);
  }
  await onBoth(`update notes set p.x = 5`, `delete from notes where v = 4 and (p).y = 7`);
  await onBoth('delete from notes');
  await areEqual();
});
