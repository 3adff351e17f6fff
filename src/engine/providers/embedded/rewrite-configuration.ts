/** Writes the configuration of a primary anew while it runs: after its promotion, and when its size changes. */
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { CONFIGURATION_FILE, configuration } from '../../configuration.js';
import { reloadConfiguration } from '../../pending-restart.js';
import type { EngineRecord, SizeName } from '../../types.js';
import { writeOwned } from './initdb.js';
import { dataDirectoryOf } from './paths.js';
import { serverUser } from './server-user.js';

/**
 * Takes primary_conninfo and the slot out of the configuration. The server ignores both now, and a start as primary is
 * right even if this never ran; so it belongs after the sessions have moved, not on their way. Not reloaded: each of the
 * sessions' new backends would read all of the configuration, right when they are busiest. Idempotent.
 */
export async function afterPromotion(engine: EngineRecord): Promise<void> {
  const file = join(dataDirectoryOf(engine), CONFIGURATION_FILE);
  await writeOwned(`${file}.new`, configuration(engine.id, engine.size), await serverUser());
  await rename(`${file}.new`, file);
}

/** The settings are all there is of a size here: a process of this machine has no limits. */
export async function resize(engine: EngineRecord, size: SizeName): Promise<void> {
  await afterPromotion({ ...engine, size });
  await reloadConfiguration(engine);
}
