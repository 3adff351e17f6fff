/** The replication slot that a standby has on its primary, and what a promotion leaves to tidy up. */
import { DbproxyError } from '../errors/index.js';
import { adminQuery, withAdmin, type AdminTarget } from './admin.js';
import { waitFor } from './wait.js';

const DROP_BOUND_MS = 5_000;
/** Replay of what was written during the copy, and the first connection to the primary. */
const STREAMING_BOUND_MS = 120_000;

/** Slot names are of a-z, 0-9 and "_". */
export const slotName = (standbyId: string): string =>
  `dbproxy_${standbyId.toLowerCase().replace(/\W/g, '_')}`;

/** Reserves WAL from now on for a standby that is still to be made. */
export async function createReplicationSlot(primary: AdminTarget, standbyId: string): Promise<void> {
  await adminQuery(primary, 'select pg_create_physical_replication_slot($1, true)', [slotName(standbyId)]);
}

/**
 * Drops the slot of a standby; a connection that still uses it is ended. Idempotent. To be called for every standby that is
 * given up: a slot that nobody reads makes its primary keep WAL. Throws DBP_ENGINE_QUERY.
 */
export async function dropReplicationSlot(primary: AdminTarget, standbyId: string): Promise<void> {
  const slot = slotName(standbyId);
  const dropped = await withAdmin(primary, (query) =>
    waitFor(
      async () => {
        await query(
          `select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = $1 and active`,
          [slot],
        );
        // Not active when looked at, but it may be again when dropped: then the next round ends that connection.
        const drop = `select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1 and not active`;
        await query(drop, [slot]).catch((error: unknown) => {
          if ((error as DbproxyError).details['sqlstate'] !== OBJECT_IN_USE) throw error;
        });
        const left = await query(`select 1 from pg_replication_slots where slot_name = $1`, [slot]);
        return left.length === 0 ? true : undefined;
      },
      { boundMs: DROP_BOUND_MS, everyMs: 10 },
    ),
  );
  if (dropped === undefined) {
    const reason = `the replication slot ${slot} was still in use after ${DROP_BOUND_MS} ms`;
    throw new DbproxyError('DBP_ENGINE_QUERY', { engine: primary.id, reason });
  }
}

/** Standbys, by their ids as far as a slot's name has them, that have a slot on this engine and do not use it. */
export async function unusedSlots(primary: AdminTarget): Promise<string[]> {
  const rows = await adminQuery<{ id: string }>(
    primary,
    `select substr(slot_name, 9) as id from pg_replication_slots where slot_name like 'dbproxy\\_%' and not active`,
  );
  return rows.map(({ id }) => id);
}

const OBJECT_IN_USE = '55006';

/** A copy would have its tablespaces where the primary has them: two servers on the same files. */
export async function refuseTablespaces(primary: AdminTarget): Promise<void> {
  const spaces = await withAdmin(primary, (query) =>
    query<{ name: string }>(
      `select spcname as name from pg_tablespace where spcname not in ('pg_default', 'pg_global') order by 1`,
    ),
  );
  if (spaces.length === 0) return;
  const names = spaces.map(({ name }) => name).join(', ');
  throw new Error(`${primary.id} has tablespaces of its own (${names}), which cannot be copied beside it`);
}

/** Consistent (all WAL of the backup replayed) and connected to its primary. */
export async function waitForStreaming(
  standby: AdminTarget,
  stopLsn: string,
  signal?: AbortSignal,
): Promise<void> {
  let last = '';
  const streaming = await withAdmin(standby, (query) =>
    waitFor(
      async () => {
        const [row] = await query<{
          replayed: string | null;
          consistent: boolean | null;
          status: string | null;
        }>(
          `select pg_last_wal_replay_lsn()::text as replayed, pg_last_wal_replay_lsn() >= $1::pg_lsn as consistent,
             (select status from pg_stat_wal_receiver) as status`,
          [stopLsn],
        );
        last = `receiver ${row?.status ?? 'not connected'}, replayed to ${row?.replayed ?? 'nothing'} of ${stopLsn}`;
        return row?.consistent === true && row.status === 'streaming' ? true : undefined;
      },
      { boundMs: STREAMING_BOUND_MS, everyMs: 5, signal },
    ),
  );
  if (streaming === undefined) {
    throw new Error(`it did not stream from its primary within ${STREAMING_BOUND_MS} ms: ${last}`);
  }
}
