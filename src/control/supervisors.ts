/** The supervisors of an instance, one after the other as they come: whoever follows something goes on with the next. */
import { setTimeout as delay } from 'node:timers/promises';
import { connectSupervisor, type Supervisor } from './client.js';
import { DbproxyError } from '../errors/index.js';

const RECONNECT_PAUSE_MS = 50;

/**
 * Each is closed when the next one is asked for. Ends when the instance is stopped, or when `signal` is aborted, which closes the one that is
 * there. `again`: there was one before. Throws what hinders the first connection.
 */
export async function* supervisorsOf(
  instance: string,
  signal?: AbortSignal,
  again = false,
): AsyncGenerator<Supervisor, void> {
  let everConnected = again;
  while (!signal?.aborted) {
    const supervisor = await connect(instance, everConnected);
    if (supervisor === 'stopped') return;
    if (supervisor !== 'not yet') {
      everConnected = true;
      const close = (): void => supervisor.close();
      signal?.addEventListener('abort', close, { once: true });
      if (signal?.aborted) close();
      try {
        yield supervisor;
      } finally {
        signal?.removeEventListener('abort', close);
        supervisor.close();
      }
    }
    // It has gone, or was replaced.
    await delay(RECONNECT_PAUSE_MS);
  }
}

/** Once there was one, whatever hinders the next (it is being replaced, it repairs) passes. */
async function connect(instance: string, again: boolean): Promise<Supervisor | 'stopped' | 'not yet'> {
  try {
    return await connectSupervisor(instance);
  } catch (error) {
    if (!again) throw error;
    const isStopped = error instanceof DbproxyError && error.code === 'DBP_INSTANCE_NOT_RUNNING';
    return isStopped ? 'stopped' : 'not yet';
  }
}
