/** What goes out in one turn goes out in one write, to the engine and to the client: each write wakes somebody. */
import { beforeEach, expect, it } from 'vitest';
import { encode, Frontend } from '../../../src/protocol/index.js';
import { row, Stubbed } from './stubbed.js';

const { query, commandComplete, readyForQuery } = encode;

let stubbed: Stubbed;

beforeEach(async () => {
  stubbed = await Stubbed.inBlock();
});

const NAME = row('1.1');
/** Types of the messages of each write. */
const typesOf = (writes: readonly Buffer[]): string[] =>
  writes.map((bytes) => {
    let types = '';
    for (let at = 0; at < bytes.length; at += 1 + bytes.readInt32BE(at + 1))
      types += String.fromCharCode(bytes[at] ?? 0);
    return types;
  });

it('the name of a transaction is asked for together with its first statement', async () => {
  await stubbed.ask(query('update t set v = 1'));
  expect(typesOf(stubbed.toEngine)).toEqual(['QQ']);
});

it('CommandComplete of a COMMIT, and its ReadyForQuery', async () => {
  await stubbed.ask(query('update t set v = 1'));
  await stubbed.answer('T', NAME);
  await stubbed.answer('T', commandComplete('UPDATE 1'));
  await stubbed.ask(query('commit'));
  await stubbed.answer('T', row(''), commandComplete('SET CONSTRAINTS'));
  await stubbed.answer('T', row(''));
  stubbed.toClient = [];
  await stubbed.answer('I', commandComplete('COMMIT'));
  expect(stubbed.toClient).toEqual([Buffer.concat([commandComplete('COMMIT'), readyForQuery('I')])]);
});

it('a batch, with the name of its transaction', async () => {
  await stubbed.ask(
    encode.parse('', 'select v from t'),
    encode.bind('', '', []),
    encode.execute(),
    encode.sync(),
  );
  expect(typesOf(stubbed.toEngine)).toEqual(['QPBES']);
  expect(stubbed.toEngine[0]?.[0]).toBe(Frontend.Query);
});

it('of two queries the second one in the turn in which the first is answered', async () => {
  await stubbed.ask(query('begin'), query('savepoint a'), query('savepoint b'));
  expect(typesOf(stubbed.toEngine)).toEqual(['Q']);
  await stubbed.answer('T', commandComplete('BEGIN'));
  expect(typesOf(stubbed.toEngine)).toEqual(['Q', 'QQ']);
  await stubbed.answer('T', NAME);
  expect(stubbed.toEngine).toHaveLength(2);
  await stubbed.answer('T', commandComplete('SAVEPOINT'));
  expect(typesOf(stubbed.toEngine)).toEqual(['Q', 'QQ', 'Q']);
});
