/** What is true of an engine now: asked of the kernel and of the server, never of the record. */
import { withAdmin } from '../../admin.js';
import type { EngineHealth, EngineRecord } from '../../types.js';
import { findPostmaster } from './find.js';

/** A server that does not answer within this counts as unresponsive. */
const ANSWER_BOUND_MS = 2_000;

/**
 * The control file's timeline lags behind a promotion until the next checkpoint; the name of the WAL file that is written
 * now begins with the true one. A standby follows the timeline that it receives.
 */
const TIMELINE = `
  select pg_is_in_recovery() as in_recovery,
    case when pg_is_in_recovery()
      then coalesce((select received_tli from pg_stat_wal_receiver), (select timeline_id from pg_control_checkpoint()))
      else ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int
    end as timeline`;

export async function inspectServer(engine: EngineRecord): Promise<EngineHealth> {
  const process = findPostmaster(engine);
  if (process === null) return { state: 'stopped' };
  try {
    const [row] = await withAdmin(
      engine,
      (query) => query<{ in_recovery: boolean; timeline: number }>(TIMELINE),
      { timeoutMs: ANSWER_BOUND_MS },
    );
    if (row === undefined) return { state: 'unresponsive', process, reason: 'no row' };
    return { state: 'running', process, inRecovery: row.in_recovery, timeline: row.timeline };
  } catch (error) {
    // It may have ended while we asked.
    if (findPostmaster(engine) === null) return { state: 'stopped' };
    return { state: 'unresponsive', process, reason: (error as Error).message };
  }
}
