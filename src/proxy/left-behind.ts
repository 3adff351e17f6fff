/**
 * The connections that sessions left behind. A backend that ends unmaps all of the shared memory it has touched, some 4 ms
 * of CPU (perf, 128 MB of shared buffers): sixteen at once, while the clients' queued calls run on the new engine, took longer
 * than the whole hold. So they wait until the queue is gone, and then end one after the other.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { EngineConnection } from './engine-connection.js';

/** After the last session has moved, ms: the queue of a hold is gone by then. */
const QUEUE_MS = 250;
/** Between two, while clients work; ms. */
const PAUSE_MS = 25;
/** All pauses together, ms. */
const PAUSES_LIMIT_MS = 3_000;

export class LeftBehind {
  readonly #connections: EngineConnection[] = [];
  #closing: Promise<void> = Promise.resolve();

  add(connection: EngineConnection): void {
    this.#connections.push(connection);
  }

  /** Begins to close them; `busy`: do clients work? Idle ones have nothing to wait for. */
  closeAll(busy: () => boolean): void {
    this.#closing = this.#closing.then(async () => {
      const pauseMs = Math.min(PAUSE_MS, PAUSES_LIMIT_MS / Math.max(1, this.#connections.length));
      if (busy()) await delay(QUEUE_MS);
      for (let next = this.#connections.pop(); next; next = this.#connections.pop()) {
        next.close();
        if (busy()) await delay(pauseMs);
      }
    });
  }

  /** Resolves when all that were to be closed are. */
  closed(): Promise<void> {
    return this.#closing;
  }
}
