/**
 * Exchanges whose text says everything about a value, whatever the session has set, and in the server's encoding, which every
 * character of the database has one in. What is written that way is read the same under the same settings: money depends on
 * lc_monetary, and all else is of a style that every setting of input understands (manual 8.5.4, 9.9, 19.11.2).
 */
import { Frontend, encode } from '../protocol/index.js';
import type { Reply, Rows, StateChannel } from './channel.js';

/** As the user who logged in, who re-creates it all: session_user may be another one, with other rights. */
export const AS_LOGIN_USER = 'set local session authorization default';

/** An expression. Past that timeout, which PostgreSQL 17 brought, the connection would end. */
export const NO_TRANSACTION_TIMEOUT = `case when pg_catalog.current_setting('transaction_timeout', true) is not null
      then pg_catalog.set_config('transaction_timeout', '0', true) end`;

/**
 * Within a transaction. Names of types come out qualified. With array_nulls off NULL in an
 * array would be read as a string, and with xmloption at DOCUMENT not every XML value.
 */
export const EXACT = `${AS_LOGIN_USER}; set local statement_timeout = 0; set local lock_timeout = 0;
  set local datestyle to iso, ymd; set local intervalstyle to iso_8601; set local extra_float_digits to 1;
  set local bytea_output to hex; set local lc_monetary to 'C'; set local quote_all_identifiers to off;
  set local array_nulls to on; set local xmloption to content; set local search_path to '';
  select pg_catalog.set_config('client_encoding', pg_catalog.getdatabaseencoding(), true),
    ${NO_TRANSACTION_TIMEOUT}`;

export const BEGIN_EXACT = `begin isolation level read committed read write not deferrable; ${EXACT}`;

/** The rows of one statement. Extended query: the rows of a binary cursor come as text, too. Throws on an SQL error. */
export const readExactly = async (channel: StateChannel, sql: string): Promise<Rows> =>
  (await within(channel, [encode.parse('', sql), encode.bind('', '', []), encode.execute()])).sets[0] ?? [];

/** The rows of several statements, one after the other, in one round trip; of a COPY TO as one row of one column. */
export const readAllExactly = async (channel: StateChannel, statements: readonly string[]): Promise<Rows> => {
  // A message of their own: one message is of one encoding, and theirs is the server's, which the first sets.
  return (await within(channel, [encode.query(statements.join(';'))], false)).sets.flat();
};

/** Name, type OID and type modifier of each column of a cursor, which stays where it is. */
export const describeCursor = async (channel: StateChannel, name: string): Promise<Rows> => {
  const message = encode.message(Frontend.Describe, Buffer.from(`P${name}\0`, 'latin1'));
  const { columns } = await within(channel, [message]).catch((error: Error) => {
    // Of a column whose type is gone PostgreSQL tells no more than a number.
    throw new Error(`held cursor ${name}: ${error.message}`);
  });
  return columns.map(({ name: column, type, modifier }) => [column, String(type), String(modifier)]);
};

const within = async (channel: StateChannel, messages: readonly Buffer[], sync = true): Promise<Reply> => {
  const end = sync ? [encode.sync()] : [];
  const all = [encode.query(BEGIN_EXACT), ...messages, ...end, encode.query('rollback')];
  const replies = await channel.exchange(Buffer.concat(all), 3);
  const error = replies.find((reply) => reply.error !== null)?.error;
  if (error) throw new Error(`${error.message} (${error.sqlstate})`);
  const [, reply] = replies;
  if (!reply) throw new Error('no answer');
  return reply;
};
