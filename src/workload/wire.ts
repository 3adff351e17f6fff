/**
 * The bytes of one statement, as libpq sends them for pgbench: one buffer, one write, one round trip.
 *
 * The driver's serialiser makes four buffers and a writev of them, src/protocol's one for each field: on cores shared
 * with the database that is load which the measurement would see. So the one message of the hot path, Bind, is laid out
 * here (PostgreSQL manual, "Message Formats"); everything else comes from src/protocol.
 */
import { Frontend, encode } from '../protocol/index.js';
import type { Draw, Statement } from './scripts.js';
import type { Protocol } from './types.js';

/** Makes the bytes of statement `index` for the values drawn. */
export type Encoder = (index: number, values: Draw) => Buffer;

export function encoderFor(protocol: Protocol, statements: readonly Statement[]): Encoder {
  const at = (index: number): Statement => statements[index] as Statement;
  if (protocol === 'simple') return (index, values) => encode.query(inline(at(index), values));
  if (protocol === 'prepared')
    return (index, values) => bindMessage(NOTHING, nameOf(index), at(index), values);
  const parses = statements.map(({ sql }) => encode.parse('', sql));
  return (index, values) => bindMessage(parses[index] as Buffer, '', at(index), values);
}

/** Parse for every statement, then one Sync: sent once per connection in `prepared` mode. */
export const prepareMessages = (statements: readonly Statement[]): Buffer =>
  Buffer.concat([...statements.map(({ sql }, index) => encode.parse(nameOf(index), sql)), encode.sync()]);

const NOTHING = Buffer.alloc(0);
/** The same after every Bind: the unnamed portal is described and executed without a limit. */
const AFTER_BIND = Buffer.concat([
  encode.message(Frontend.Describe, Buffer.from('P\0')),
  encode.execute(),
  encode.sync(),
]);

const nameOf = (index: number): string => `P0_${index}`;
const inline = ({ sql, parameters }: Statement, values: Draw): string =>
  sql.replace(/\$(\d)/g, (_, n: string) => String(values[parameters[Number(n) - 1] as keyof Draw]));

/** `before` + Bind (all parameters as text, results as text) + Describe, Execute, Sync. Everything is ASCII. */
function bindMessage(before: Buffer, name: string, statement: Statement, values: Draw): Buffer {
  const texts = statement.parameters.map((parameter) => String(values[parameter]));
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
