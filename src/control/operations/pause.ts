/**
 * Stops an operation at one step of its own until it is told to go on: what a scenario breaks there breaks there every time, on a
 * fast machine and on a slow one. An operation that nobody tells goes on by itself.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { SwitchoverStep } from '../../switchover/index.js';

/** From `promote` on clients are held meanwhile. */
const PAUSE_BOUND_MS = 10_000;

export class Pause {
  readonly #told = new AbortController();

  /** Called at each step. */
  async at(step: SwitchoverStep, wanted: SwitchoverStep | undefined): Promise<void> {
    if (step !== wanted || this.#told.signal.aborted) return;
    await delay(PAUSE_BOUND_MS, undefined, { signal: this.#told.signal }).catch(() => undefined);
  }

  goOn(): void {
    this.#told.abort();
  }
}
