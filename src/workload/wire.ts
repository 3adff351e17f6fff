/**
 * The bytes of one statement, as libpq sends them for pgbench: one buffer, one write, one round trip.
 *
 * The driver's serialiser makes four buffers and a writev of them, src/protocol's one for each field: on cores shared
 * with the database that is load which the measurement would see. So the one message of the hot path, Bind, is laid out
 * here (PostgreSQL manual, "Message Formats"), in a buffer that is used again and again; everything else comes from src/protocol.
 */
import { Frontend, encode } from '../protocol/index.js';
import { textOf, type Parameter, type Statement } from './script/compile.js';
import type { Protocol } from './types.js';

/** Makes the bytes of a statement for the values of its variables. They hold until the next call. */
export type Encoder = (values: readonly number[]) => Buffer;

/** `name`: of the prepared statement; a statement that cannot be prepared ahead is parsed each time. */
export function encoderFor(protocol: Protocol, statement: Statement, name: string): Encoder {
  if (protocol === 'simple') return (values) => encode.query(utf8(inline(statement, values)));
  if (protocol === 'prepared' && statement.preparable) return bindEncoder(NOTHING, name, statement);
  return bindEncoder(encode.parse('', utf8(statement.sql)), '', statement);
}

/** Parse and Sync: sent once per connection in `prepared` mode. */
export const prepareMessage = (statement: Statement, name: string): Buffer =>
  Buffer.concat([encode.parse(name, utf8(statement.sql)), encode.sync()]);

/** A driver of JavaScript always says client_encoding UTF8. */
const utf8 = (text: string): Buffer => Buffer.from(text, 'utf8');

const NOTHING = Buffer.alloc(0);
/** The same after every Bind: the unnamed portal is described and executed without a limit. */
const AFTER_BIND = Buffer.concat([
  encode.message(Frontend.Describe, Buffer.from('P\0')),
  encode.execute(),
  encode.sync(),
]);
/** A number as text: 2^53 has 16 digits, a double 15 of them, a sign, a point and an exponent. */
const MAX_VALUE_BYTES = 24;

const inline = ({ texts, parameters }: Statement, values: readonly number[]): string =>
  texts.map((text, i) => (parameters[i] ? text + textOf(parameters[i], values) : text)).join('');

/** `before` + Bind (all parameters as text, results as text) + Describe, Execute, Sync. Only the values change. */
function bindEncoder(before: Buffer, name: string, { parameters }: Statement): Encoder {
  const counts = Buffer.alloc(4);
  counts.writeInt16BE(parameters.length, 2);
  const bind = Buffer.concat([
    encode.message(Frontend.Bind, NOTHING),
    Buffer.from(`\0${name}\0`, 'latin1'),
    counts,
  ]);
  const message = Buffer.alloc(
    before.length + bind.length + parameters.length * (4 + MAX_VALUE_BYTES) + 2 + AFTER_BIND.length,
  );
  const bindAt = before.copy(message);
  const valuesAt = bindAt + bind.copy(message, bindAt);
  /** By length: making a view costs as much as laying out the values. */
  const views: Buffer[] = [];
  return (values) => {
    let at = valuesAt;
    for (const parameter of parameters) at = putValue(message, at, parameter, values);
    at = message.writeInt16BE(0, at);
    message.writeInt32BE(at - bindAt - 1, bindAt + 1);
    AFTER_BIND.copy(message, at);
    const end = at + AFTER_BIND.length;
    return (views[end] ??= message.subarray(0, end));
  };
}

/** Length and text of a value; answers where it ends. */
function putValue(message: Buffer, at: number, parameter: Parameter, values: readonly number[]): number {
  const value = values[parameter.slot] as number;
  const textAt = at + 4;
  // Most: a key. Its digits from the last to the first, without a string.
  if (parameter.type === 'integer' && value >= 0 && value < 1e9) {
    let digits = 1;
    for (let power = 10; power <= value; power *= 10) digits++;
    let rest = value | 0;
    for (let i = textAt + digits - 1; i >= textAt; i--) {
      const tenth = (rest / 10) | 0;
      message[i] = 48 + rest - tenth * 10;
      rest = tenth;
    }
    message.writeInt32BE(digits, at);
    return textAt + digits;
  }
  const text = textOf(parameter, values);
  message.writeInt32BE(text.length, at);
  return textAt + message.write(text, textAt, 'latin1');
}
