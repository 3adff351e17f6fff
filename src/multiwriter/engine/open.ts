/** Which transactions an engine has begun and not ended: asked when somebody wants to know (dbproxy.txn_status), and not told by each. */

/** Names a transaction within its engine: the backend and when it began, `4711.1764444444000000` (dbproxy.transaction()). */
export type TransactionName = string;

export interface OpenTransactions {
  /** The engine's clock before it has looked, µs since 1970. */
  readonly at: number;
  /** Of each backend that there is. Null: it is in none, or in one that has failed. */
  readonly names: ReadonlyMap<number, TransactionName | null>;
}

/** Null: the engine cannot tell, since a superuser has turned `track_activities` off for a session. */
export async function openTransactions(
  query: (sql: string) => Promise<OpenRow[]>,
): Promise<OpenTransactions | null> {
  const rows = await query(QUERY);
  if (rows.some(({ state }) => state === 'disabled')) return null;
  return { at: Number(rows[0]?.at ?? 0), names: new Map(rows.map(({ pid, name }) => [pid, name])) };
}

export interface OpenRow {
  readonly at: string;
  readonly pid: number;
  readonly state: string | null;
  readonly name: string | null;
}

/** xact_start is transaction_timestamp(), which an engine shows from the BEGIN on, until the transaction has committed or failed. */
const QUERY = `
  select (extract(epoch from now()) * 1000000)::bigint as at, pid, state, pid || '.' || (extract(epoch from xact_start) * 1000000)::bigint as name
    from pg_catalog.pg_stat_activity where backend_type = 'client backend' and datname = current_database()`;
