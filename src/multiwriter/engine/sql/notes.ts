/**
 * Notes in `captured` (guard.ts), from one of our functions to another within a transaction, while a definition is at work. They are rows,
 * so that a savepoint takes them back with what they speak of; no client reaches them.
 *
 *   c  a command has begun: its tag, what was written until then, and whether what is applied has come to it by itself
 *   p  a command has ended, of which on_ddl may tell
 *   m  it has dropped something that is not a session's own: tables that are left and have lost by it
 *   r  it has written a table's rows anew: which, and why
 *   b  a GRANT has begun
 *   h  an extension's script is at work
 *   d  the one definition that is applied
 *   v  a materialized view of which on_ddl was told: which
 *   w  what is defined now is our own work
 */
type Note = 'b' | 'c' | 'd' | 'h' | 'm' | 'p' | 'r' | 'v' | 'w';

/** In PL/pgSQL; what it says is expressions. */
export const note = (kind: Note, about = 'null', key = 'null', more = 'null'): string =>
  `insert into dbproxy.captured values (pg_current_xact_id(), '${kind}', ${about}, null, null, ${key}, ${more}, false);`;

export const unnote = (kind: Note): string =>
  `delete from dbproxy.captured where xid = pg_current_xact_id() and operation = '${kind}';`;

/** An expression. */
export const isNoted = (kind: Note, about?: string): string =>
  `exists (select from dbproxy.captured where xid = pg_current_xact_id_if_assigned() and operation = '${kind}'${about === undefined ? '' : ` and about = ${about}`})`;
