/**
 * The bytes of one statement, as libpq sends them for pgbench: one buffer, one write, one round trip.
 *
 * The driver's serialiser makes four buffers and a writev of them, src/protocol's one for each field: on cores shared
 * with the database that is load which the measurement would see. So the one message of the hot path, Bind, is laid out
 * here (PostgreSQL manual, "Message Formats"); everything else comes from src/protocol.
 */
import { Frontend, encode } from '../protocol/index.js';
import { textOf, type Statement } from './script/compile.js';
import type { Protocol } from './types.js';

/** Makes the bytes of a statement for the values of its variables. */
export type Encoder = (values: readonly number[]) => Buffer;

/** `name`: of the prepared statement; a statement that cannot be prepared ahead is parsed each time. */
export function encoderFor(protocol: Protocol, statement: Statement, name: string): Encoder {
  if (protocol === 'simple') return (values) => encode.query(inline(statement, values));
  if (protocol === 'prepared' && statement.preparable)
    return (values) => bindMessage(NOTHING, name, statement, values);
  const parse = encode.parse('', statement.sql);
  return (values) => bindMessage(parse, '', statement, values);
}

/** Parse and Sync: sent once per connection in `prepared` mode. */
export const prepareMessage = (statement: Statement, name: string): Buffer =>
  Buffer.concat([encode.parse(name, statement.sql), encode.sync()]);

const NOTHING = Buffer.alloc(0);
/** The same after every Bind: the unnamed portal is described and executed without a limit. */
const AFTER_BIND = Buffer.concat([
  encode.message(Frontend.Describe, Buffer.from('P\0')),
  encode.execute(),
  encode.sync(),
]);

const inline = ({ texts, parameters }: Statement, values: readonly number[]): string =>
  texts.map((text, i) => (parameters[i] ? text + textOf(parameters[i], values) : text)).join('');

/** `before` + Bind (all parameters as text, results as text) + Describe, Execute, Sync. Everything is ASCII. */
function bindMessage(
  before: Buffer,
  name: string,
  { parameters }: Statement,
  values: readonly number[],
): Buffer {
  const texts = parameters.map((parameter) => textOf(parameter, values));
  const valueBytes = texts.reduce((sum, text) => sum + 4 + text.length, 0);
  const bindBytes = 5 + 1 + name.length + 1 + 2 + 2 + valueBytes + 2;
  const message = Buffer.allocUnsafe(before.length + bindBytes + AFTER_BIND.length);

  let at = before.copy(message, 0);
  at = message.writeUInt8(Frontend.Bind, at);
  at = message.writeInt32BE(bindBytes - 1, at);
  at = message.writeUInt8(0, at);
  at += message.write(name, at, 'latin1');
  at = message.writeUInt8(0, at);
  at = message.writeInt16BE(0, at);
  at = message.writeInt16BE(texts.length, at);
  for (const text of texts) {
    at = message.writeInt32BE(text.length, at);
    at += message.write(text, at, 'latin1');
  }
  at = message.writeInt16BE(0, at);
  AFTER_BIND.copy(message, at);
  return message;
}
