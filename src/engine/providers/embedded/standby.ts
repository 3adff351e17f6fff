/**
 * Makes a streaming hot standby of a running primary.
 *
 * The slot comes first, so that the primary keeps all WAL from before the copy until the standby has it. On failure
 * nothing is left: the server is stopped, the slot dropped (the caller removes the directories).
 */
import { join } from 'node:path';
import { DbproxyError } from '../../../errors/index.js';
import { withAdmin } from '../../admin.js';
import { createReplicationSlot, dropReplicationSlot, slotName } from '../../replication.js';
import type { EngineRecord, ProvisionOptions } from '../../types.js';
import { waitFor } from '../../wait.js';
import { takeBaseBackup } from './base-backup.js';
import type { Binaries } from './binaries.js';
import { configuration } from './configuration.js';
import { writeOwned } from './initdb.js';
import { dataDirectoryOf } from './paths.js';
import type { ServerUser } from './server-user.js';
import { startServer, type StartedServer } from './start.js';
import { stopServer } from './stop.js';

/** Replay of what was written during the copy, and the first connection to the primary. */
const STREAMING_BOUND_MS = 120_000;

export async function makeStandby(
  primary: EngineRecord,
  standby: EngineRecord,
  options: ProvisionOptions,
  binaries: Binaries,
  user: ServerUser | null,
): Promise<StartedServer> {
  const { signal, onProgress } = options;
  try {
    await refuseTablespaces(primary);
    await createReplicationSlot(primary, standby.id);
    const data = dataDirectoryOf(standby);
    const backup = await takeBaseBackup(primary, data, {
      label: slotName(standby.id),
      user,
      signal,
      onProgress,
    });
    await writeStandbyFiles(primary, standby, user);
    onProgress?.({ step: 'start' });
    const started = await startServer(standby, binaries, user, signal);
    onProgress?.({ step: 'wait-ready' });
    await waitForStreaming({ ...standby, process: started.process }, backup.stopLsn, signal);
    return started;
  } catch (cause) {
    await undo(primary, standby);
    if (cause instanceof DbproxyError && cause.code === 'DBP_INTERRUPTED') throw cause;
    const reason = (cause as Error).message;
    throw new DbproxyError('DBP_ENGINE_STANDBY', { engine: standby.id, reason }, { cause });
  }
}

/** A copy would have its tablespaces where the primary has them: two servers on the same files. */
async function refuseTablespaces(primary: EngineRecord): Promise<void> {
  const spaces = await withAdmin(primary, (query) =>
    query<{ name: string }>(
      `select spcname as name from pg_tablespace where spcname not in ('pg_default', 'pg_global') order by 1`,
    ),
  );
  if (spaces.length === 0) return;
  const names = spaces.map(({ name }) => name).join(', ');
  throw new Error(`${primary.id} has tablespaces of its own (${names}), which cannot be copied beside it`);
}

async function writeStandbyFiles(
  primary: EngineRecord,
  standby: EngineRecord,
  user: ServerUser | null,
): Promise<void> {
  const data = dataDirectoryOf(standby);
  const upstream = {
    socketDirectory: primary.access.kind === 'socket' ? primary.access.directory : primary.access.host,
    user: primary.superuser,
    slot: slotName(standby.id),
  };
  await writeOwned(join(data, 'dbproxy.conf'), configuration(standby.id, standby.size, upstream), user);
  await writeOwned(join(data, 'standby.signal'), '', user);
}

/** Consistent (all WAL of the backup replayed) and connected to its primary. */
async function waitForStreaming(standby: EngineRecord, stopLsn: string, signal?: AbortSignal): Promise<void> {
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

/** Best effort on the primary: when it is gone, so is the slot's reason. */
async function undo(primary: EngineRecord, standby: EngineRecord): Promise<void> {
  await stopServer(standby, 'immediate');
  await dropReplicationSlot(primary, standby.id).catch(() => undefined);
}
