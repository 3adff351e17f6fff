/** Promotion: pg_promote without waiting (with waiting it polls every 100 ms), seen by a poll of our own. */
import { setTimeout as delay } from 'node:timers/promises';
import { DbproxyError } from '../errors/index.js';
import type { EngineLink } from './engine-link.js';

const POLL_MS = 1;
/** Usually 10 ms; a busy disk may take long over a few fsyncs. */
const PROMOTE_BOUND_MS = 20_000;

const PROMOTE = { name: '', text: `select pg_promote(false)` };
const IN_RECOVERY = { name: 'dbproxy_in_recovery', text: `select pg_is_in_recovery()` };

/** Resolves when the engine takes writes; at once when it does already. Throws DBP_ENGINE_STANDBY after the bound. */
export async function promote(standby: EngineLink): Promise<void> {
  if (!(await isInRecovery(standby))) return;
  await standby.query(PROMOTE);
  const end = performance.now() + PROMOTE_BOUND_MS;
  while (await isInRecovery(standby)) {
    if (performance.now() > end) {
      const reason = `it did not leave recovery within ${PROMOTE_BOUND_MS} ms of pg_promote()`;
      throw new DbproxyError('DBP_ENGINE_STANDBY', { engine: standby.engine.id, reason });
    }
    await delay(POLL_MS);
  }
}

export const isInRecovery = (engine: EngineLink): Promise<boolean> => engine.value<boolean>(IN_RECOVERY);
