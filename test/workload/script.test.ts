/** Scripts in pgbench's syntax: what is read, what it computes, what is refused and where. No database. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compileScript, textOf, type Script } from '../../src/workload/script/compile.js';
import { parseScript } from '../../src/workload/script/parse.js';
import { findWorks, listWorkloads } from '../../src/workload/catalogue.js';
import { seededRandom } from '../../src/workload/random.js';

const compile = (text: string): Script => compileScript(parseScript('x.sql', text));
const complaint = (text: string): string => {
  try {
    compile(text);
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('nothing was wrong with it');
};

/** The value of an expression, as it would be written into a statement. */
function valueOf(expression: string, seed = 1): string {
  const script = compile(`\\set x ${expression}\nSELECT :x;`);
  const values = Array.from({ length: script.slots }, () => 0);
  values[0] = 7; // :scale
  const random = seededRandom(seed);
  for (const step of script.steps) if (step.kind === 'set') values[step.slot] = step.evaluate(values, random);
  return textOf(script.statements[0]!.parameters[0]!, values);
}

describe('statements', () => {
  test.each<[string, string, string[]]>([
    [
      'end with a semicolon, on one line or on many',
      'SELECT 1;\nSELECT\n  2\n;SELECT 3;',
      ['SELECT 1;', 'SELECT\n  2\n;', 'SELECT 3;'],
    ],
    ['the last one needs none', 'SELECT 1;\nSELECT 2\n', ['SELECT 1;', 'SELECT 2']],
    ['a command ends one', 'SELECT 1\n\\sleep 1\nSELECT 2', ['SELECT 1', 'SELECT 2']],
    [
      'not inside quotes',
      `SELECT ';', E'\\';', $$;$$, $a$;$$;$a$, ";", 'it''s;';`,
      [`SELECT ';', E'\\';', $$;$$, $a$;$$;$a$, ";", 'it''s;';`],
    ],
    [
      'not inside parentheses',
      'CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2);',
      ['CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2);'],
    ],
    [
      'comments before them are dropped, those within stay',
      '-- one;\n/* two; /* nested; */ */ SELECT 1 -- three;\n + 1;',
      ['SELECT 1 -- three;\n + 1;'],
    ],
    ['Windows ends of line', 'SELECT 1;\r\n\\set x 1\r\nSELECT :x;\r\n', ['SELECT 1;', 'SELECT $1;']],
    ['empty ones are none', ';;SELECT 1;;', ['SELECT 1;']],
  ])('%s', (_, text, statements) => {
    expect(compile(text).statements.map(({ sql }) => sql)).toEqual(statements);
  });

  test('variables become parameters, once for each place', () => {
    const { statements } = compile(
      `\\set id 1\nSELECT :id, ':id', ":id", $$:id$$, now()::date, :id::int, a[1:2] /* :id */ WHERE b =:id;`,
    );
    expect(statements[0]!.sql).toBe(
      `SELECT $1, ':id', ":id", $$:id$$, now()::date, $2::int, a[1:2] /* :id */ WHERE b =$3;`,
    );
    expect(statements[0]!.parameters).toHaveLength(3);
  });

  test('what loses its connection is unknown where something is committed, and nowhere else', () => {
    const commits = (text: string): boolean[] => compile(text).statements.map((each) => each.commits);
    expect(commits('BEGIN; UPDATE t SET a = 1; END;')).toEqual([false, false, true]);
    expect(commits('START TRANSACTION; SELECT 1; COMMIT;')).toEqual([false, false, true]);
    expect(commits('BEGIN; SAVEPOINT s; ROLLBACK TO s; UPDATE t SET a = 1; ROLLBACK;')).toEqual([
      false,
      false,
      false,
      false,
      false,
    ]);
    expect(
      commits('SELECT a FROM t; SELECT f(); UPDATE t SET a = 1; WITH x AS (DELETE FROM t) SELECT 1;'),
    ).toEqual([false, true, true, true]);
    expect(commits('BEGIN; END AND CHAIN; UPDATE t SET a = 1; END;')).toEqual([false, true, false, true]);
  });

  test('what a statement of the script makes, is not prepared ahead', () => {
    const { statements } = compile(
      'SELECT 1; CREATE TEMP TABLE t (a int); INSERT INTO t VALUES (1); DROP TABLE t;',
    );
    expect(statements.map(({ preparable }) => preparable)).toEqual([true, true, false, false]);
  });
});

describe('expressions', () => {
  test.each([
    ['1 + 2 * 3', '7'],
    ['(1 + 2) * 3', '9'],
    ['7 / 2', '3'],
    ['-7 / 2', '-3'],
    ['7.0 / 2', '3.5'],
    ['7 % 4 - -1', '4'],
    ['10 - 2 - 3', '5'],
    ['- - 3', '3'],
    ['100000 * :scale', '700000'],
    ['int(5.4 + 3.8)', '9'],
    ['int(2.5) + int(3.5)', '6'],
    ['double(1) / 3', '0.333333333333333'],
    ['greatest(3, 4.5, 1)', '4.5'],
    ['least(3, 4)', '3'],
    ['abs(-17)', '17'],
    ['mod(54, 32)', '22'],
    ['power(2, 10)', '1024'],
    ['sqrt(2.0)', '1.4142135623731'],
    ['pi()', '3.14159265358979'],
    ['1e3 + .5', '1000.5'],
    ['random(5, 5)', '5'],
  ])('%s = %s', (expression, value) => {
    // As pgbench 15 answers, but for the last digit of sqrt.
    if (expression.startsWith('sqrt')) expect(Number(valueOf(expression))).toBeCloseTo(Math.SQRT2, 13);
    else expect(valueOf(expression)).toBe(value);
  });

  test('a value may be kept from one line to the next, and a line be continued', () => {
    const script = compile('\\set a 3\n\\set a :a + \\\n 1\nSELECT :a;');
    const values = Array.from({ length: script.slots }, () => 0);
    for (const step of script.steps)
      if (step.kind === 'set') values[step.slot] = step.evaluate(values, seededRandom(1));
    expect(textOf(script.statements[0]!.parameters[0]!, values)).toBe('4');
  });

  test.each([
    'random(3, 9)',
    'random_zipfian(3, 9, 1.5)',
    'random_gaussian(3, 9, 2.5)',
    'random_exponential(3, 9, 3)',
  ])('%s stays within its bounds, reaches both, and repeats with its seed', (expression) => {
    const drawn = Array.from({ length: 3_000 }, (_, seed) => Number(valueOf(expression, seed)));
    expect([Math.min(...drawn), Math.max(...drawn)]).toEqual([3, 9]);
    expect(valueOf(expression, 17)).toBe(valueOf(expression, 17));
  });

  test('the shapes are those of the manual', () => {
    const share = (expression: string, value: number): number =>
      Array.from({ length: 4_000 }, (_, seed) => valueOf(expression, seed)).filter(
        (each) => Number(each) === value,
      ).length / 4_000;
    // "1 is drawn 2 ** 1.5 times as often as 2"
    const zipf = share('random_zipfian(1, 100, 1.5)', 1) / share('random_zipfian(1, 100, 1.5)', 2);
    expect(zipf).toBeGreaterThan(2.3);
    expect(zipf).toBeLessThan(3.4);
    // f(1) = (1 - e^(-p/n)) / (1 - e^-p), with p = 3 and n = 10
    expect(share('random_exponential(1, 10, 3)', 1)).toBeCloseTo(
      (1 - Math.exp(-0.3)) / (1 - Math.exp(-3)),
      1,
    );
    // the middle is drawn more often than the ends
    expect(share('random_gaussian(1, 9, 4)', 5)).toBeGreaterThan(10 * share('random_gaussian(1, 9, 4)', 1));
  });

  test('no text makes the parser do anything but answer or complain with its line', () => {
    const words = fc.constantFrom(
      '\\set',
      'a',
      ':a',
      '1',
      '(',
      ')',
      '+',
      '-',
      '*',
      ',',
      ';',
      "'",
      '"',
      '$$',
      '--',
      '/*',
      '*/',
      '\n',
      '\\',
      '\\sleep',
      'ms',
      'BEGIN',
      'END',
      'random',
      '@',
      '§',
    );
    fc.assert(
      fc.property(fc.array(words, { maxLength: 30 }), (parts) => {
        try {
          compile(parts.join(' '));
        } catch (error) {
          expect((error as Error).message).toMatch(/^x\.sql:\d+: /);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('what is wrong with a script is said with its line', () => {
  test.each<[string, string]>([
    ['', 'x.sql:1: there is no command in it'],
    ['\\set a 1', 'x.sql:1: there is no SQL statement in it'],
    ['SELECT 1;\n\\sett a 1', 'x.sql:2: there is no command \\sett; did you mean \\set?'],
    ['SELECT 1\n\n\\gset', 'x.sql:3: \\gset of pgbench is not supported here; there is \\set and \\sleep'],
    ['\\if 1\nSELECT 1;', 'x.sql:1: \\if of pgbench is not supported here; there is \\set and \\sleep'],
    ['\\set a radnom(1, 2)', 'x.sql:1: there is no function radnom; did you mean random?'],
    ['\\set a permute(1, 2)', 'x.sql:1: permute of pgbench is not supported here'],
    ['\\set a random(1)', 'x.sql:1: random takes 2 arguments, not 1'],
    ['\\set a random(1.5, 2)', 'x.sql:1: random takes integers; int() makes one'],
    ['\\set a 1 +', 'x.sql:1: the expression ends too early'],
    ['\\set a (1', 'x.sql:1: ) is missing at the end'],
    ['\\set a 1 2', 'x.sql:1: 2 is not expected here'],
    ['\\set a 1 = 2', 'x.sql:1: = 2 is no part of an expression that is supported here'],
    ['\\set a aid', 'x.sql:1: aid is neither a number nor a function; a variable begins with a colon, :aid'],
    ['\\set a true', 'x.sql:1: true of pgbench is not supported here'],
    [
      '\\set a 99999999999999999999',
      'x.sql:1: 99999999999999999999 is too large: integers go up to 2^53 here',
    ],
    ['\\set 1a 2', 'x.sql:1: \\set wants the name of a variable, not "1a"'],
    ['\\set a', 'x.sql:1: \\set a has no expression'],
    [
      '\\set a :scal',
      'x.sql:1: there is no variable :scal; did you mean :scale?; \\set comes before its use',
    ],
    [
      '\\set aid 1\nSELECT 1,\n :aidd;',
      'x.sql:3: there is no variable :aidd; did you mean :aid?; \\set comes before its use',
    ],
    ['\\sleep 5 parsecs', 'x.sql:1: there is no unit parsecs; there is us, ms, s'],
    ['\\sleep soon', 'x.sql:1: \\sleep wants a number or a variable, and us, ms or s, not "soon"'],
    ["SELECT 1;\nSELECT 'open;\n", 'x.sql:2: this quote has no end'],
    ['SELECT 1; /* open', 'x.sql:1: this comment has no end'],
    [
      'SELECT 1;\nBEGIN;\nSELECT 2;',
      'x.sql:2: the transaction that begins here is not ended: END is missing',
    ],
    [
      'COPY t FROM STDIN;',
      'x.sql:1: COPY from the client is not supported in a script; there is the workload copy',
    ],
  ])('%j', (text, message) => {
    expect(complaint(text)).toBe(message);
  });

  test('an expression that makes no sense at run time names its line, too', () => {
    const { steps } = compile('\\set a 0\n\\set b 1 / :a\nSELECT :b;');
    const [, second] = steps;
    if (second?.kind !== 'set') throw new Error('the second step is a set');
    expect(() => second.evaluate([0, 0, 0, 0, 0, 0], seededRandom(1))).toThrow('division by zero');
    expect(second.line).toBe(2);
  });
});

describe('the workloads there are', () => {
  test('are scripts and probes, each with a sentence', async () => {
    const all = await listWorkloads();
    expect(all.map(({ name }) => name)).toEqual([
      ...['busy', 'hot-row', 'select-only', 'simple-update', 'skewed-reads', 'tpcb-like'],
      ...['prepared', 'held-cursor', 'temp-table', 'listen-notify', 'advisory-lock', 'copy', 'large-result'],
    ]);
    for (const { summary } of all) expect(summary.length).toBeGreaterThan(20);
  });

  test('a weight belongs to each of a mixture', async () => {
    const works = await findWorks(['tpcb-like@3', 'temp-table', 'playground/workloads/select-only.sql@2']);
    expect(
      works.map(({ name, weight, ledger, sparesLedger }) => [name, weight, ledger, sparesLedger]),
    ).toEqual([
      ['tpcb-like', 3, 'all', true],
      ['temp-table', 1, 'none', true],
      ['playground/workloads/select-only.sql', 2, 'none', true],
    ]);
  });
});
