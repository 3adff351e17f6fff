/**
 * Who may execute what: everybody what is in this list, and nobody anything else in schema dbproxy. Whoever may execute a trigger
 * function can put it on a table of his own, and what it captures then is taken for changes of another table. Functions that are
 * generated for a table are nobody's from the start (attach); to fire a trigger takes no right.
 *
 * What is here asks for a proof, or for a caller (ask_setval; the note of expect_ddl), or tells nothing that is not everybody's, or runs as whoever calls it.
 */
export const RIGHTS = `
revoke execute on all functions in schema dbproxy from public;
grant execute on function
  -- For the proxy, in the session of a client.
  dbproxy.check_isolation(), dbproxy.closing(text), dbproxy.fired(), dbproxy.settle(), dbproxy.closed(), dbproxy.write_set(), dbproxy.certify(bigint), dbproxy.reassigned(text, text),
  dbproxy.hold(text), dbproxy.read_held(text), dbproxy.rows_of(text),
  -- For clients.
  dbproxy.position(), dbproxy.priority(), dbproxy.txn_id(), dbproxy.txn_status(text),
  -- Called by functions that run as the client: on_ddl, reassigned, setval.
  dbproxy.after_ddl(text, name, text, text, text, text), dbproxy.ask_setval(regclass, bigint, boolean), dbproxy.after_reassign(text, name, text, text),
  dbproxy.client_setval(name, regclass, bigint, boolean)
  to public;
`;
