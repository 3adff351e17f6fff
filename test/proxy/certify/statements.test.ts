/** What the first words of a statement say of it. */
import { expect, it } from 'vitest';
import { holdsCursor, statementOf, statementsOf } from '../../../src/proxy/certify/statements.js';

const kindOf = (sql: string): string => statementOf(sql, (name) => name === 'writes').kind;

it.each([
  ['begin', ['BEGIN', 'start transaction read only', '/* x */ begin work']],
  ['commit', ['commit', 'END and chain']],
  ['rollback', ['rollback', 'abort', 'rollback work and chain']],
  ['within', ['rollback to s', 'ROLLBACK work TO s', 'savepoint s', 'lock t']],
  ['set-transaction', ['set transaction read only', 'set local transaction isolation level serializable']],
  ['setting', ['set x = 1', 'show all', 'discard all', 'deallocate a', 'reset all']],
  [
    'read',
    [
      'select 1',
      'with a as (select 1) table a',
      'copy t to stdout',
      'prepare p as select 1',
      'close c',
      'declare c cursor for select 1',
    ],
  ],
  ['maintenance', ['vacuum', 'analyse t', 'alter system set x = 1', 'checkpoint']],
  [
    'refused',
    [
      'explain analyze create table t as select 1',
      'EXPLAIN (costs off, ANALYZE)\nselect 1 into t',
      'prepare transaction $$x$$',
      'commit prepared $$x$$',
      'drop database d',
      'alter database d rename to e',
    ],
  ],
  [
    'write',
    [
      'insert into t values (1)',
      'explain analyze insert into t values (1)',
      'explain create table t as select 1',
      'select writes(1)',
      'select "writes" (1)',
      'select * into t',
      'copy t from stdin',
      'declare c cursor for select writes(1)',
    ],
  ],
  [
    'write',
    ['set constraints all deferred', 'alter database d set x = 1', 'begin_x', 'selects', 'start', ''],
  ],
] as const)('%s: %j', (kind, texts) => {
  expect(texts.map(kindOf)).toEqual(texts.map(() => kind));
});

it('a cursor WITH HOLD is run at the COMMIT', () => {
  const holds = (sql: string): boolean => holdsCursor(statementOf(sql, (name) => name === 'writes'));
  const declared = [
    'declare c cursor with hold for select 1',
    'DECLARE c CURSOR WITH\nHOLD for select writes(1)',
  ];
  expect(declared.map(holds)).toEqual([true, true]);
  expect(['declare c cursor for select 1', 'select hold', 'begin'].map(holds)).toEqual([false, false, false]);
});

it('of several, and of none', () => {
  const texts = (sql: string): string[] => statementsOf(sql, () => false).map(({ text }) => text);
  expect(texts("select ';';")).toEqual(["select ';'"]);
  expect(texts('begin; commit;  ')).toEqual(['begin', 'commit']);
  expect(texts('end; ')).toEqual(['end']);
  expect(texts(' -- nothing\n;')).toEqual([]);
  const backslash = String.raw`select '\'; drop table t; --'; begin`;
  expect(texts(backslash)).toHaveLength(2);
  expect(statementsOf(backslash, () => false, false).map(({ text }) => text)).toEqual([
    String.raw`select '\'; drop table t; --'`,
    'begin',
  ]);
});
