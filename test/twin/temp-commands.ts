/** Temporary tables, views, sequences, functions and types. */
import fc from 'fast-check';
import type { Command } from './command.js';

const sql = (...texts: string[]): fc.Arbitrary<Command> =>
  fc.constantFrom(...texts).map((text) => ({ sql: text }));

const create = sql(
  'create temp table tt (n int primary key, v text)',
  `create temp table tt (v text default 'none', n int generated always as identity check (n > 0), m numeric(4,1))`,
  'create temp table tt (n int, v text) on commit delete rows',
  'create temp table tt as select n, v from a.t',
  'create temp table uu (n int, v varchar(9) collate "C" not null)',
  'create temp table gone (n int) on commit drop',
  'begin; create temp table uu (n int, v text); rollback',
  'create index on tt (lower(v), n desc) where n > 1',
  'create temp view vv as select n, v from tt where n < 5',
  'create temp sequence ss increment 3 maxvalue 40 cycle',
  `create type pg_temp.mood as enum ('sad', 'so so', 'glad')`,
  'create domain pg_temp.small as int check (value < 100)',
  'create function pg_temp.f(x int) returns int language sql as $$select x + 1$$',
  'create temp table mm (m pg_temp.mood, n pg_temp.small)',
);

const use = sql(
  `insert into tt (v) values ('x'), (null), (E'tab\\t "q" é \\\\')`,
  `insert into tt (n, v) values (1, 'one'), (7, '')`,
  `insert into uu values (3, 'three')`,
  `insert into mm values ('glad', 7)`,
  `update tt set v = v || '!'`,
  'delete from tt where n = 1',
  'select * from tt order by v, n',
  'select * from pg_temp.uu, vv order by 1, 2',
  'select * from mm order by 1, 2',
  `select nextval('ss')`,
  `select currval('pg_temp.ss')`,
  'select pg_temp.f(1)',
  `begin; insert into tt (v) values ('unsaid'); rollback`,
);

const change = sql(
  'alter table tt add column w int default 5',
  'alter table tt drop column v',
  'alter table tt rename to uu',
  'alter table uu add unique (n)',
  'alter sequence ss restart 10',
  'truncate tt',
  'drop table tt',
  'drop table tt cascade',
  'drop table uu',
  'drop view vv',
  'drop sequence ss',
  'drop function pg_temp.f',
  'drop type pg_temp.mood cascade',
  'discard temp',
);

export const temporary: fc.Arbitrary<Command> = fc.oneof(
  { weight: 3, arbitrary: create },
  { weight: 5, arbitrary: use },
  change,
);
