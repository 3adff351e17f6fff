/** What a running server says of itself. */
import { DbproxyError } from '../errors/index.js';
import { adminQuery, type AdminTarget } from './admin.js';

export interface ServerFacts {
  readonly systemIdentifier: string;
  readonly postgres: string;
}

/** Asks a running server what it is. Throws DBP_ENGINE_QUERY. */
export async function askFacts(engine: AdminTarget): Promise<ServerFacts> {
  const [row] = await adminQuery<{ system_identifier: string; version: string }>(
    engine,
    `select system_identifier::text, split_part(current_setting('server_version'), ' ', 1) as version
     from pg_control_system()`,
  );
  if (row === undefined) throw new DbproxyError('DBP_ENGINE_QUERY', { engine: engine.id, reason: 'no row' });
  return { systemIdentifier: row.system_identifier, postgres: row.version };
}

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

/** Throws DBP_ENGINE_QUERY. */
export async function askRecovery(engine: AdminTarget): Promise<{ inRecovery: boolean; timeline: number }> {
  const options = { timeoutMs: ANSWER_BOUND_MS };
  const [row] = await adminQuery<{ in_recovery: boolean; timeline: number }>(engine, TIMELINE, [], options);
  if (row === undefined) throw new DbproxyError('DBP_ENGINE_QUERY', { engine: engine.id, reason: 'no row' });
  return { inRecovery: row.in_recovery, timeline: row.timeline };
}
