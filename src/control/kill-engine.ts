/** kill -9 of an engine or the proxy, for scenarios: what a crash of it looks like. */
import { killContainer } from '../engine/index.js';
import type { EngineSummary } from './api.js';

/** Says what it has killed; null: there is nothing that runs. Throws DBP_ENV_DOCKER. */
export async function killEngine({
  pid,
  container,
}: Pick<EngineSummary, 'pid' | 'container'>): Promise<string | null> {
  if (container !== null) {
    await killContainer(container);
    return `container ${container}`;
  }
  if (pid === null) return null;
  process.kill(pid, 'SIGKILL');
  return `process ${pid}`;
}
