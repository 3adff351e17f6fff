/** How far a standby is behind its primary, as the primary sees it (pg_stat_replication). */
import { adminQuery, type AdminTarget } from './admin.js';
import { standbyName } from './configuration.js';

export interface StandbyLag {
  /** It gets what its primary writes as it is written. */
  readonly streaming: boolean;
  /** Commits wait for it. */
  readonly synchronous: boolean;
  /** On the disk of the primary and not on that of the standby: what is lost if the primary is, now. */
  readonly lagBytes: number;
  /** How long it took the standby to have the last of it on disk, ms; null: there was nothing of late. */
  readonly lagMs: number | null;
  /** It has everything up to the position that was asked for. */
  readonly reached: boolean;
}

/** `position`: of the WAL, `0/3000148`. Null: the standby is not connected. Throws DBP_ENGINE_QUERY. */
export async function standbyLag(
  primary: AdminTarget,
  standby: string,
  position = '0/0',
): Promise<StandbyLag | null> {
  const [found] = await adminQuery<StandbyLag>(
    primary,
    `select state = 'streaming' as streaming, sync_state = 'sync' as synchronous,
       greatest(0, pg_wal_lsn_diff(pg_current_wal_flush_lsn(), flush_lsn))::float8 as "lagBytes",
       round(extract(epoch from flush_lag) * 1000, 1)::float8 as "lagMs",
       coalesce(flush_lsn >= $2::pg_lsn, false) as reached
     from pg_stat_replication where application_name = $1 order by state = 'streaming' desc limit 1`,
    [standbyName(standby), position],
  );
  return found ?? null;
}

export async function flushedPosition(primary: AdminTarget): Promise<string> {
  const [row] = await adminQuery<{ position: string }>(
    primary,
    'select pg_current_wal_flush_lsn()::text as position',
  );
  return row?.position ?? '0/0';
}

/** Where an engine that was promoted left the history of its former primary: the end of what it has of it. */
export async function switchPosition(promoted: AdminTarget): Promise<string | null> {
  const [row] = await adminQuery<{ history: string | null }>(
    promoted,
    `select pg_read_file('pg_wal/' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) || '.history', true) as history`,
  );
  const last = row?.history?.trimEnd().split('\n').at(-1);
  return last?.split('\t')[1] ?? null;
}
