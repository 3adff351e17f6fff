/** Ends an engine's processes: as asked, then harder, each within its bound; at last everything in its data directory. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DbproxyError } from '../../../errors/index.js';
import { isSameProcess, signalProcess } from '../../process-identity.js';
import type { EngineRecord, ProcessIdentity } from '../../types.js';
import { waitFor } from '../../wait.js';
import { findPostmaster, processesIn } from './find.js';
import { dataDirectoryOf } from './paths.js';

type Stoppable = Pick<EngineRecord, 'id' | 'directory' | 'process'>;

/** Signals of the postmaster ("Shutting Down the Server"); immediate takes at most 5 s before it kills its children. */
const STEPS: readonly { readonly signal: NodeJS.Signals; readonly boundMs: number }[] = [
  { signal: 'SIGINT', boundMs: 30_000 },
  { signal: 'SIGQUIT', boundMs: 10_000 },
  { signal: 'SIGKILL', boundMs: 5_000 },
];

/** Idempotent. Throws DBP_ENGINE_STOP when even SIGKILL did not end it. */
export async function stopServer(engine: Stoppable, mode: 'fast' | 'immediate'): Promise<void> {
  const startedAt = performance.now();
  const postmaster = findPostmaster(engine);
  const steps = mode === 'fast' ? STEPS : STEPS.slice(1);
  const stopped = postmaster === null || (await escalate(postmaster, steps));
  if (stopped && (await endOrphans(dataDirectoryOf(engine)))) return;
  const waitedMs = Math.round(performance.now() - startedAt);
  throw new DbproxyError('DBP_ENGINE_STOP', { engine: engine.id, waitedMs });
}

async function escalate(postmaster: ProcessIdentity, steps: typeof STEPS): Promise<boolean> {
  for (const { signal, boundMs } of steps) {
    if (!signalProcess(postmaster, signal) || (await ended([postmaster], boundMs))) return true;
  }
  return false;
}

/**
 * A postmaster that was killed leaves its children; each notices when it next waits for something, which one that computes
 * does not do for long. While one lives, no new postmaster starts on its data directory.
 */
async function endOrphans(dataDirectory: string): Promise<boolean> {
  const orphans = processesIn(dataDirectory);
  if (orphans.length === 0) return true;
  for (const orphan of orphans) signalProcess(orphan, 'SIGQUIT');
  if (await ended(orphans, 2_000)) return true;
  for (const orphan of orphans) signalProcess(orphan, 'SIGKILL');
  return ended(orphans, 5_000);
}

async function ended(processes: readonly ProcessIdentity[], boundMs: number): Promise<boolean> {
  const done = await waitFor(() => (processes.some(isSameProcess) ? undefined : true), { boundMs });
  return done === true;
}

/**
 * Makes the way free for a start: nothing works in the data directory any more, and a postmaster.pid left behind is gone.
 * PostgreSQL would refuse to start if the pid in it has since been given to another process of the same user.
 */
export async function clearRemains(engine: Stoppable): Promise<void> {
  await stopServer(engine, 'immediate');
  await rm(join(dataDirectoryOf(engine), 'postmaster.pid'), { force: true });
}
