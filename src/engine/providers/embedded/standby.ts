/**
 * Makes a streaming hot standby of a running primary.
 *
 * The slot comes first, so that the primary keeps all WAL from before the copy until the standby has it. On failure
 * nothing is left: the server is stopped, the slot dropped (the caller removes the directories).
 */
import { join } from 'node:path';
import { DbproxyError } from '../../../errors/index.js';
import { blamingFullDisk } from '../../../errors/no-room.js';
import { assertSameCollations } from '../../compatible.js';
import { CONFIGURATION_FILE, configuration } from '../../configuration.js';
import {
  createReplicationSlot,
  dropReplicationSlot,
  refuseTablespaces,
  slotName,
  waitForStreaming,
} from '../../replication.js';
import type { EngineRecord, ProvisionOptions } from '../../types.js';
import { takeBaseBackup } from './base-backup.js';
import { assertRoomFor } from './room.js';
import { HBA } from './configuration.js';
import { receiveBaseBackup } from './receive-backup.js';
import type { Binaries } from './binaries.js';
import { writeOwned } from './initdb.js';
import { dataDirectoryOf } from './paths.js';
import type { ServerUser } from './server-user.js';
import { startServer, type StartedServer } from './start.js';
import { stopServer } from './stop.js';

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
    await assertRoomFor(primary, standby);
    await createReplicationSlot(primary, standby.id);
    const data = dataDirectoryOf(standby);
    const backup = { label: slotName(standby.id), user, signal, onProgress };
    const isNear = primary.provider === 'embedded';
    // A copy over the protocol has no last position of its own: it is not ready for queries before it is consistent.
    const { stopLsn } = isNear
      ? await takeBaseBackup(primary, data, backup)
      : { stopLsn: await receiveBaseBackup(primary, data, backup) };
    await writeStandbyFiles(primary, standby, options.superuserPassword, user);
    onProgress?.({ step: 'start' });
    const started = await startServer(standby, binaries, user, signal);
    onProgress?.({ step: 'wait-ready' });
    await waitForStreaming(standby, stopLsn, signal);
    if (!isNear) await assertSameCollations(standby);
    return started;
  } catch (cause) {
    await undo(primary, standby);
    const passed: readonly string[] = ['DBP_INTERRUPTED', 'DBP_ENGINE_INCOMPATIBLE', 'DBP_ENV_DISK_FULL'];
    if (cause instanceof DbproxyError && passed.includes(cause.code)) throw cause;
    const reason = (cause as Error).message;
    const error = new DbproxyError('DBP_ENGINE_STANDBY', { engine: standby.id, reason }, { cause });
    throw await blamingFullDisk(standby.directory, error);
  }
}

async function writeStandbyFiles(
  primary: EngineRecord,
  standby: EngineRecord,
  password: string,
  user: ServerUser | null,
): Promise<void> {
  const data = dataDirectoryOf(standby);
  const upstream = { connection: connectionOf(primary, password), slot: slotName(standby.id) };
  const text = configuration(standby.id, standby.size, { upstream });
  await writeOwned(join(data, CONFIGURATION_FILE), text, user);
  // A container's says who may come in by TCP.
  await writeOwned(join(data, 'pg_hba.conf'), HBA, user);
  await writeOwned(join(data, 'standby.signal'), '', user);
}

function connectionOf({ access, superuser: user }: EngineRecord, password: string): Record<string, string> {
  const port = String(access.port);
  if (access.kind === 'socket') return { host: access.directory, port, user };
  return { host: access.host, port, user, password, sslmode: 'disable' };
}

/** Best effort on the primary: when it is gone, so is the slot's reason. */
async function undo(primary: EngineRecord, standby: EngineRecord): Promise<void> {
  await stopServer(standby, 'immediate');
  await dropReplicationSlot(primary, standby.id).catch(() => undefined);
}
