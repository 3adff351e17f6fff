/** Writes the configuration of a primary anew while it runs: after its promotion, and when its size changes. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CONFIGURATION_FILE, configuration, synchronousOf } from '../../configuration.js';
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
  await rewrite(engine, configuration(engine.id, engine.size));
}

async function rewrite(engine: EngineRecord, text: string): Promise<void> {
  await writeOwned(join(dataDirectoryOf(engine), CONFIGURATION_FILE), text, await serverUser());
}

/** Written there and not by ALTER SYSTEM: a copy of the engine has a file of its own, and would wait for nobody that it does not know. */
export async function commitWith(engine: EngineRecord, standby: string | null): Promise<void> {
  await rewrite(engine, configuration(engine.id, engine.size, { synchronous: standby ?? undefined }));
  await reloadConfiguration(engine);
}

/** The settings are all there is of a size here: a process of this machine has no limits. */
export async function resize(engine: EngineRecord, size: SizeName): Promise<void> {
  const text = await readFile(join(dataDirectoryOf(engine), CONFIGURATION_FILE), 'utf8').catch(() => '');
  await rewrite(engine, configuration(engine.id, size, { synchronous: synchronousOf(text) }));
  await reloadConfiguration(engine);
}
