/** What is known of a session's prepared statements, and for how long. */
import { expect, it } from 'vitest';
import { PreparedStatements, type Prepared } from '../../../src/proxy/certify/prepared-statements.js';
import { statementOf, type Dropped } from '../../../src/proxy/certify/statements.js';

const statement = (sql: string): Prepared => ({ statement: statementOf(sql, () => false), asks: false });
const BEGIN = statement('begin');
const COMMIT = statement('commit');

it('what is parsed or closed counts at once, and for good once the engine has done it', () => {
  const prepared = new PreparedStatements();
  const parsed = prepared.parse('a', BEGIN);
  expect(prepared.get('a')).toBe(BEGIN);
  parsed();
  const closed = prepared.close('a');
  expect(prepared.get('a')).toBeNull();
  const again = prepared.parse('a', COMMIT);
  closed();
  expect(prepared.get('a')).toBe(COMMIT);
  again();
  prepared.batchEnded();
  expect(prepared.get('a')).toBe(COMMIT);
});

it('what the engine has skipped, or refused, leaves what was there, and nothing in memory', () => {
  const prepared = new PreparedStatements();
  prepared.parse('a', BEGIN)();
  prepared.parse('a', COMMIT);
  prepared.parse('b', COMMIT);
  prepared.close('a');
  prepared.batchEnded();
  expect([prepared.get('a'), prepared.get('b'), prepared.size]).toEqual([BEGIN, null, 1]);
});

it.each<[string, Dropped]>([
  ['deallocate a', { name: 'a' }],
  ['DEALLOCATE PREPARE "A ""b"', { name: 'A "b' }],
  ['/* x */ deallocate Ab', { name: 'ab' }],
  ['deallocate all', 'statements'],
  ['deallocate "all"', { name: 'all' }],
  ['discard all', 'session'],
])('%s', (sql, drops) => {
  const { statement: read } = statement(sql);
  expect(read).toMatchObject({ kind: 'setting', drops });
  const prepared = new PreparedStatements();
  for (const name of ['', 'x', 'a', 'ab', 'A "b', 'all']) prepared.parse(name, BEGIN)();
  prepared.drop(drops);
  expect(prepared.size).toBe(typeof drops === 'object' ? 5 : 1);
});
