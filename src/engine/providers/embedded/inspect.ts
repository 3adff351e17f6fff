/** What is true of an engine now: asked of the kernel and of the server, never of the record. */
import { askRecovery } from '../../facts.js';
import type { EngineHealth, EngineRecord } from '../../types.js';
import { findPostmaster } from './find.js';

export async function inspectServer(engine: EngineRecord): Promise<EngineHealth> {
  const process = findPostmaster(engine);
  if (process === null) return { state: 'stopped' };
  try {
    return { state: 'running', process, ...(await askRecovery(engine)) };
  } catch (error) {
    // It may have ended while we asked.
    if (findPostmaster(engine) === null) return { state: 'stopped' };
    return { state: 'unresponsive', process, reason: (error as Error).message };
  }
}
