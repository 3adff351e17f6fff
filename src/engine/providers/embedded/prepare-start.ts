/**
 * What a start on existing data needs to find: its socket directory, which a clean-up or a reboot may have taken away, and
 * the configuration of its size, which may be another one than when it last ran.
 */
import { chmod, chown, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { exists } from '../../../exists.js';
import { CONFIGURATION_FILE, configuration } from '../../configuration.js';
import type { EngineRecord } from '../../types.js';
import { writeOwned } from './initdb.js';
import { dataDirectoryOf } from './paths.js';
import type { ServerUser } from './server-user.js';

export async function prepareStart(engine: EngineRecord, user: ServerUser | null): Promise<void> {
  if (engine.access.kind === 'socket') await makeSocketDirectory(engine.access.directory, user);
  const data = dataDirectoryOf(engine);
  // A standby's also says where its primary is; it keeps the one it was made with. Lost data is for the start to tell.
  if ((await exists(join(data, 'standby.signal'))) || !(await exists(join(data, CONFIGURATION_FILE)))) return;
  await writeOwned(join(data, CONFIGURATION_FILE), configuration(engine.id, engine.size), user);
}

async function makeSocketDirectory(directory: string, user: ServerUser | null): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await chmod(directory, 0o700);
  if (user !== null) await chown(directory, user.uid, user.gid);
}
