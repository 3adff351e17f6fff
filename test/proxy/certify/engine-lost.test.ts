/** A COMMIT whose engine is lost while it is being closed. */
import { expect, it } from 'vitest';
import { Backend, encode } from '../../../src/protocol/index.js';
import { called, Stubbed } from './stubbed.js';

const { query, commandComplete } = encode;
const cstring = (text: string): Buffer => Buffer.from(`${text}\0`);
/** There is more in the engine than was told. */
const KEPT = encode.message(
  Backend.NoticeResponse,
  cstring('CDBP0K'),
  cstring('WPL/pgSQL function dbproxy.guard() line 4 at RAISE'),
  Buffer.alloc(1),
);

it('before it has given what was kept: the client is not told that it has committed', async () => {
  const stubbed = await Stubbed.inBlock();
  await stubbed.ask(query('create table t ()'));
  await stubbed.answer('T', commandComplete('CREATE TABLE'));
  await stubbed.ask(query('commit'));
  await stubbed.answerAll(['T', called()], ['T', KEPT, commandComplete('SET CONSTRAINTS')]);
  stubbed.toClient = [];
  await stubbed.lose();
  const told = Buffer.concat(stubbed.toClient).toString('latin1');
  expect(told).not.toContain('COMMIT');
  expect(told).toContain('57P01');
});
