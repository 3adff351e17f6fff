import { describe, expect, test } from 'vitest';
import { encode } from '../../src/protocol/index.js';
import { CommitWitness } from '../../src/session-state/index.js';

/** Of a request that is the only one without an answer. */
const mayCommit = (...messages: Buffer[]): boolean => {
  const witness = new CommitWitness(6);
  for (const message of messages) {
    if (message[0] === 0x51) witness.query(message, 0, message.length, 7);
    else if (message[0] === 0x50) witness.parse(message, 0, message.length);
    else witness.bind(message, 0, 7);
  }
  return witness.mayHaveCommitted(7);
};

describe('a request may commit', () => {
  test.each(['commit', 'COMMIT AND CHAIN', 'insert into t values (1);end', "prepare transaction 'a'", 'end'])(
    '%s',
    (sql) => expect(mayCommit(encode.query(sql))).toBe(true),
  );

  test.each([
    'select 1',
    'rollback',
    'update committed set pending = 1',
    'start transaction',
    'prepare p as select 1',
  ])('not: %s', (sql) => expect(mayCommit(encode.query(sql))).toBe(false));

  test('by a prepared statement, when it is bound', () => {
    expect(mayCommit(encode.parse('c', 'commit'))).toBe(false);
    expect(mayCommit(encode.parse('c', 'commit'), encode.bind('', 'c', []))).toBe(true);
    expect(mayCommit(encode.parse('c', 'commit'), encode.bind('', 'd', []))).toBe(false);
    expect(mayCommit(encode.parse('', 'commit'), encode.parse('', 'select 1'), encode.bind('', '', []))).toBe(
      false,
    );
  });
});

test('what was answered does not count, and what was not seen does', () => {
  const witness = new CommitWitness(0);
  expect(witness.mayHaveCommitted(0)).toBe(true);
  expect(witness.mayHaveCommitted(1)).toBe(false);
});
