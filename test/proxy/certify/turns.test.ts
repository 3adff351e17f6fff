/** What goes out in one turn goes out in one write, to the engine and to the client: each write wakes somebody. */
import { beforeEach, expect, it } from 'vitest';
import { encode } from '../../../src/protocol/index.js';
import { called, Stubbed } from './stubbed.js';

const { query, commandComplete, readyForQuery } = encode;

let stubbed: Stubbed;

beforeEach(async () => {
  stubbed = await Stubbed.inBlock();
});

/** Types of the messages of each write. */
const typesOf = (writes: readonly Buffer[]): string[] =>
  writes.map((bytes) => {
    let types = '';
    for (let at = 0; at < bytes.length; at += 1 + bytes.readInt32BE(at + 1))
      types += String.fromCharCode(bytes[at] ?? 0);
    return types;
  });

it('a transaction begins without a question', async () => {
  await stubbed.ask(query('update t set v = 1'));
  expect(typesOf(stubbed.toEngine)).toEqual(['Q']);
});

it('what closes it, and what commits it: a call and a query together', async () => {
  await stubbed.ask(query('update t set v = 1'));
  await stubbed.answer('T', commandComplete('UPDATE 1'));
  stubbed.toEngine = [];
  await stubbed.ask(query('commit'));
  expect(typesOf(stubbed.toEngine)).toEqual(['FQ']);
  await stubbed.answerAll(['T', called()], ['T', commandComplete('SET CONSTRAINTS')]);
  // Nothing was told.
  expect(typesOf(stubbed.toEngine)).toEqual(['FQ', 'FQ']);
});

it('COMMIT that the engine refuses to close: its first error is the client\u2019s, and it is rolled back', async () => {
  await stubbed.ask(query('update t set v = 1'));
  await stubbed.answer('T', commandComplete('UPDATE 1'));
  [stubbed.toEngine, stubbed.toClient] = [[], []];
  await stubbed.ask(query('commit'));
  const [first, second] = ['23503', '25P02'].map((sqlstate) =>
    encode.errorResponse({ severity: 'ERROR', sqlstate, message: 'x' }),
  ) as [Buffer, Buffer];
  await stubbed.answerAll(['E', first], ['E', second]);
  await stubbed.answer('I', commandComplete('ROLLBACK'));
  expect(typesOf(stubbed.toEngine)).toEqual(['FQ', 'Q']);
  expect(Buffer.concat(stubbed.toClient)).toEqual(Buffer.concat([first, readyForQuery('I')]));
});

it('CommandComplete of a COMMIT, and its ReadyForQuery', async () => {
  await stubbed.ask(query('update t set v = 1'));
  await stubbed.answer('T', commandComplete('UPDATE 1'));
  await stubbed.ask(query('commit'));
  await stubbed.answerAll(['T', called()], ['T', commandComplete('SET CONSTRAINTS')], ['T', called()]);
  stubbed.toClient = [];
  await stubbed.answer('I', commandComplete('COMMIT'));
  expect(stubbed.toClient).toEqual([Buffer.concat([commandComplete('COMMIT'), readyForQuery('I')])]);
});

it('a batch', async () => {
  await stubbed.ask(
    encode.parse('', 'select v from t'),
    encode.bind('', '', []),
    encode.execute(),
    encode.sync(),
  );
  expect(typesOf(stubbed.toEngine)).toEqual(['PBES']);
});

it('of two queries the second one in the turn in which the first is answered', async () => {
  await stubbed.ask(query('begin'), query('savepoint a'), query('savepoint b'));
  expect(typesOf(stubbed.toEngine)).toEqual(['Q']);
  await stubbed.answer('T', commandComplete('BEGIN'));
  expect(typesOf(stubbed.toEngine)).toEqual(['Q', 'Q']);
  await stubbed.answer('T', commandComplete('SAVEPOINT'));
  expect(typesOf(stubbed.toEngine)).toEqual(['Q', 'Q', 'Q']);
});
