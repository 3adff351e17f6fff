/**
 * The database that a workload runs on: one-off queries of ours on it, outside the measured load.
 */
import pg from 'pg';
import { DbproxyError } from '../errors/index.js';

const CONNECT_BOUND_MS = 10_000;

/** Runs `work` on a connection of its own. Throws DBP_WORKLOAD_TARGET when it cannot connect, or a query fails. */
export async function onTarget<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: CONNECT_BOUND_MS,
    application_name: 'dbproxy workload',
  });
  // A lost connection also fails the query in flight; without a listener it would end the process.
  client.on('error', () => {});
  try {
    await client.connect();
    return await work(client);
  } catch (cause) {
    if (cause instanceof DbproxyError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new DbproxyError('DBP_WORKLOAD_TARGET', { reason }, { cause });
  } finally {
    await client.end().catch(() => {});
  }
}

/** The scale pgbench would derive, rows of pgbench_branches; null when there is no such table. */
export const readScale = (url: string): Promise<number | null> =>
  onTarget(url, async (client) => {
    const found = await client.query<{ exists: boolean }>(
      "SELECT to_regclass('pgbench_branches') IS NOT NULL AS exists",
    );
    if (found.rows[0]?.exists !== true) return null;
    const rows = await client.query<{ scale: number }>('SELECT count(*)::int AS scale FROM pgbench_branches');
    return rows.rows[0]?.scale ?? 0;
  });
