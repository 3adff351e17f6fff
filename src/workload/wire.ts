/**
 * The bytes of one statement, as libpq sends them for pgbench: one buffer, one write, one round trip.
 * (PostgreSQL manual, "Message Formats".)
 *
 * The driver's own serialiser makes four buffers and a writev of the same bytes; on cores shared with the database that
 * is load which the measurement would see.
 */
import type { Draw, Statement } from './scripts.js';
import type { Protocol } from './types.js';

const frontend = { parse: 0x50, bind: 0x42, query: 0x51 } as const;

/** Describe (unnamed portal), Execute (all rows), Sync: the same after every Bind. */
const AFTER_BIND = Buffer.from('D\0\0\0\x06P\0E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04', 'latin1');
const SYNC = Buffer.from('S\0\0\0\x04', 'latin1');

/** Makes the bytes of statement `index` for the values drawn. */
export type Encoder = (index: number, values: Draw) => Buffer;

export function encoderFor(protocol: Protocol, statements: readonly Statement[]): Encoder {
  const at = (index: number): Statement => statements[index] as Statement;
  if (protocol === 'simple') return (index, values) => queryMessage(inline(at(index), values));
  if (protocol === 'prepared')
    return (index, values) => bindMessage(NOTHING, nameOf(index), at(index), values);
  const parses = statements.map(({ sql }) => parseMessage('', sql));
  return (index, values) => bindMessage(parses[index] as Buffer, '', at(index), values);
}

export const queryMessage = (sql: string): Buffer => frame(frontend.query, `${sql}\0`);

/** Parse for every statement, then one Sync: sent once per connection in `prepared` mode. */
export const prepareMessages = (statements: readonly Statement[]): Buffer =>
  Buffer.concat([...statements.map(({ sql }, index) => parseMessage(nameOf(index), sql)), SYNC]);

const NOTHING = Buffer.alloc(0);
const nameOf = (index: number): string => `P0_${index}`;
const inline = ({ sql, parameters }: Statement, values: Draw): string =>
  sql.replace(/\$(\d)/g, (_, n: string) => String(values[parameters[Number(n) - 1] as keyof Draw]));

function frame(type: number, body: string): Buffer {
  const length = Buffer.byteLength(body);
  const message = Buffer.allocUnsafe(5 + length);
  message[0] = type;
  message.writeInt32BE(4 + length, 1);
  message.write(body, 5);
  return message;
}

/** No parameter types: the server infers them. */
const parseMessage = (name: string, sql: string): Buffer => frame(frontend.parse, `${name}\0${sql}\0\0\0`);

/** `before` + Bind (all parameters as text, results as text) + Describe, Execute, Sync. */
function bindMessage(before: Buffer, name: string, statement: Statement, values: Draw): Buffer {
  const texts = statement.parameters.map((parameter) => String(values[parameter]));
  const valueBytes = texts.reduce((sum, text) => sum + 4 + text.length, 0);
  const bindBytes = 5 + 1 + name.length + 1 + 2 + 2 + valueBytes + 2;
  const message = Buffer.allocUnsafe(before.length + bindBytes + AFTER_BIND.length);

  let at = before.copy(message, 0);
  at = message.writeUInt8(frontend.bind, at);
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
