/** SQL texts are cut into the statements that PostgreSQL sees in them. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { splitStatements, stripLeadingComments } from '../../src/session-state/sql-statements.js';
import { extractPrepare } from '../../src/session-state/prepared-statements.js';

describe('splitStatements', () => {
  it.each<[string, string, string[]]>([
    ['nothing', '', []],
    ['only separators and comments', ' ; -- a\n ; /* b; */ ;', []],
    ['two statements', 'select 1; select 2', ['select 1', 'select 2']],
    ['a trailing semicolon', 'select 1;', ['select 1']],
    ['a semicolon in a string', "select 'a;b'; x", ["select 'a;b'", 'x']],
    ['a doubled quote', "select 'it''s;'; x", ["select 'it''s;'", 'x']],
    ['a backslash in a plain string', String.raw`select 'a\'; x`, [String.raw`select 'a\'`, 'x']],
    ['a backslash in an escape string', String.raw`select e'a\';b'; x`, [String.raw`select e'a\';b'`, 'x']],
    ['a quoted identifier', 'select ";" ";""x;"; y', ['select ";" ";""x;"', 'y']],
    ['a dollar quote', 'do $$ begin; end; $$; x', ['do $$ begin; end; $$', 'x']],
    ['a tagged dollar quote', 'do $a$ ; $$ ; $b$ ; $a$; x', ['do $a$ ; $$ ; $b$ ; $a$', 'x']],
    ['a parameter is no dollar quote', 'select $1; select $1', ['select $1', 'select $1']],
    ['a dollar in an identifier', 'select a$b$; select c$b$', ['select a$b$', 'select c$b$']],
    ['a line comment', "select 1 -- don't; \n; x", ["select 1 -- don't;", 'x']],
    ['a nested comment', 'select /* ; /* ; */ ; */ 1; x', ['select /* ; /* ; */ ; */ 1', 'x']],
    [
      'a rule with several commands',
      'create rule r as on insert to t do (select 1; select 2); x',
      ['create rule r as on insert to t do (select 1; select 2)', 'x'],
    ],
    [
      'an SQL-standard body',
      'create function f() returns int begin atomic select 1; select case when true then 2 end; end; x',
      ['create function f() returns int begin atomic select 1; select case when true then 2 end; end', 'x'],
    ],
    ['an unfinished string', "select 1; select 'a;b", ['select 1', "select 'a;b"]],
    ['an unfinished comment', 'select 1; /* ; ', ['select 1']],
    ['an e that ends a word', "select name'a'; x", ["select name'a'", 'x']],
  ])('%s', (_, sql, statements) => {
    expect(splitStatements(sql)).toEqual(statements);
  });

  it('knows the strings of standard_conforming_strings = off', () => {
    const sql = String.raw`select 'a\';b'; x`;
    expect(splitStatements(sql, false)).toEqual([String.raw`select 'a\';b'`, 'x']);
  });

  const piece = fc.constantFrom(
    'select 1',
    "select 'a;''b'",
    String.raw`select E'\';'`,
    'select "x;y"',
    'do $q$ ; $$ ; $q$',
    'select /* ; /* */ ; */ 2',
    'insert into t values ($1, (select 3))',
    'create function f() returns int begin atomic select 1; select 2; end',
    'prepare p as select $1::int',
  );

  it('takes apart what was joined', () => {
    const glue = fc.constantFrom(';', ' ; ', ';\n', '; -- ;\n', ';;', '; /* ; */ ;');
    fc.assert(
      fc.property(fc.array(fc.tuple(piece, glue), { maxLength: 8 }), (parts) => {
        const sql = parts.map((part) => part.join('')).join('');
        const found = splitStatements(sql).map(stripLeadingComments);
        expect(found).toEqual(parts.map(([statement]) => statement));
      }),
      { numRuns: 500 },
    );
  });

  it('loses no character but separators, blanks and comments, whatever the text', () => {
    const alphabet = fc.constantFrom(
      ...'ab;\'"$\\-/*()[]e \n1'.split(''),
      '$$',
      '--',
      '/*',
      '*/',
      'begin atomic ',
    );
    fc.assert(
      fc.property(fc.array(alphabet, { maxLength: 30 }), (parts) => {
        const sql = parts.join('');
        let at = 0;
        for (const statement of splitStatements(sql)) {
          const found = sql.indexOf(statement, at);
          expect(found).toBeGreaterThanOrEqual(at);
          expect(stripLeadingComments(sql.slice(at, found).replaceAll(';', ' '))).toMatch(/^\s*$/);
          at = found + statement.length;
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('extractPrepare', () => {
  it.each<[string, string, string, string]>([
    ['alone', 'prepare p as select 1', 'p', 'prepare p as select 1'],
    [
      'among others',
      'insert into t values (1); prepare p as select 1; select 2',
      'p',
      'prepare p as select 1',
    ],
    [
      'the last of its name',
      'prepare p as select 1; deallocate p; prepare p as select 2',
      'p',
      'prepare p as select 2',
    ],
    ['by its name', 'prepare a as select 1; prepare b as select 2', 'a', 'prepare a as select 1'],
    ['folded', 'select 1; PREPARE MyName (int) AS select $1', 'myname', 'PREPARE MyName (int) AS select $1'],
    ['quoted', 'select 1; prepare "My ""n" as select 2', 'My "n', 'prepare "My ""n" as select 2'],
    [
      'after comments',
      'select 1; /* x; */ -- y\n prepare p as select 2',
      'p',
      '/* x; */ -- y\n prepare p as select 2',
    ],
    ['a comment before the name', 'select 1; prepare/**/ p as select 2', 'p', 'prepare/**/ p as select 2'],
    [
      'not one in a string',
      "select 'a; prepare p as select 1;'; prepare p as select 2",
      'p',
      'prepare p as select 2',
    ],
  ])('%s', (_, sql, name, statement) => {
    expect(extractPrepare(sql, name)).toBe(statement);
  });

  it('finds it with the strings of standard_conforming_strings = off', () => {
    const sql = String.raw`insert into t values ('it\'s; '); prepare p as select 'x'`;
    expect(extractPrepare(sql, 'p')).toBe("prepare p as select 'x'");
  });

  it('never gives other statements to be run again', () => {
    // A name that only a Unicode escape spells: not found, so nothing is run.
    expect(extractPrepare('insert into t values (1); prepare U&"\\0070x" as select 1', 'px')).toBeNull();
    expect(extractPrepare('prepare U&"\\0070x" as select 1', 'px')).toBe('prepare U&"\\0070x" as select 1');
  });
});
