/**
 * While the proxy closes a transaction, what it wrote is told in notices: one for each row, written to no table.
 *
 * - That it is closing is a setting, local to the transaction, which nobody but a superuser can change. `backtrace_functions` says for
 *   which C functions an error is logged with a backtrace; there is none of that name.
 * - A client can raise notices, too. Those of ours come from a function in schema `dbproxy`, which is what their context begins with, and
 *   where no client can define one; a transaction with others is refused (told.ts).
 * - What is written meanwhile, by a deferred trigger of a client, is kept instead: an exception may yet take it back.
 * - INFO goes to the client whatever client_min_messages says, and not to the log.
 */

/** All in PL/pgSQL. */
export const IS_CLOSING = `current_setting('backtrace_functions') = 'dbproxy_closing'`;
/** Within capture: the trigger was fired by the closing itself, and not by what another trigger does. */
export const TELLS = `${IS_CLOSING} and pg_trigger_depth() = 1`;
/** Expressions. */
export const BEGIN_CLOSING = `set_config('backtrace_functions', 'dbproxy_closing', true)`;
export const END_CLOSING = `set_config('backtrace_functions', '', true)`;

/**
 * Tells of a change, within the function that format() makes for a table (capture.ts). Its arguments: the table's shape, the hashes of
 * the new and of the old row, the key; the last three are expressions. RAISE writes a row by its output function. Where the new row is, and
 * where the old one was: by that changes of one row are known (net-effect.ts).
 */
const TELL = `raise info using errcode = 'DBP0R', table = %1$L,`;
export const TELL_INSERT = `${TELL} datatype = 'i', message = new, detail = %2$s, constraint = new.ctid;`;
export const TELL_UPDATE = `${TELL} datatype = 'u', message = new, detail = %2$s, hint = %3$s, column = %4$s, constraint = new.ctid, schema = old.ctid;`;
export const TELL_DELETE = `${TELL} datatype = 'd', message = '', hint = %3$s, column = %4$s, schema = old.ctid;`;

/** For the variables `operation`, `about`, `key` and `new_row`. */
export const TELL_OTHER = `raise info using errcode = 'DBP0R', datatype = operation, table = coalesce(about, ''), column = coalesce(key, 'null'), message = coalesce(new_row, '');`;

/** There are rows in `captured`. */
export const TELL_OF_KEPT = `raise info using errcode = 'DBP0K', message = 'more is in dbproxy.captured';`;

/** Deferred triggers of clients may be fired: the proxy asks for what they have deferred in their turn (transaction.ts). */
export const TELL_OF_DEFERRING = `raise info using errcode = 'DBP0D', message = 'deferred triggers of clients may be fired';`;
