/**
 * An instance that belongs to a process (src/playground) goes with it: however that process ended, its supervisor notices,
 * stops everything and removes the data. Where the supervisor died as well, `removeAbandoned` and `doctor --fix` do it.
 */
import { logLine } from '../log-line.js';
import type { Instance } from './instance.js';
import { withInstanceLock } from './lock.js';
import { isAlive } from './processes.js';
import { removeData } from './teardown.js';

const LOOK_EVERY_MS = 500;

export class OwnerWatch {
  readonly #instance: Instance;
  readonly #stop: () => Promise<unknown>;
  readonly #timer: NodeJS.Timeout | undefined;
  #isWaiting = false;
  #removal: Promise<void> | undefined;

  /** Watches from now on; watches nothing when the instance has no owner. */
  constructor(instance: Instance, stop: () => Promise<unknown>) {
    this.#instance = instance;
    this.#stop = stop;
    if (instance.record.spec.owner) this.#timer = setInterval(() => this.#look(), LOOK_EVERY_MS);
  }

  /** No more looks; a removal that has begun is finished. */
  async end(): Promise<void> {
    clearInterval(this.#timer);
    await this.#removal;
  }

  #look(): void {
    const { record, directory } = this.#instance;
    if (this.#isWaiting || isAlive(record.spec.owner)) return;
    this.#isWaiting = true;
    // Whoever holds the lock meanwhile is `down`, which waits for this process to end: the removal begins with the lock. Where it is not to
    // be had, or something could not be removed, the next look tries again.
    void withInstanceLock(directory.paths, () => (this.#removal = this.#remove()))
      .catch((error: unknown) => logLine(`what nobody owns any more is not removed yet: ${String(error)}`))
      .finally(() => (this.#isWaiting = false));
  }

  async #remove(): Promise<void> {
    const { directory, events, paths } = this.#instance;
    events.append('instance.abandoned', `instance ${paths.name}: the process that it belonged to has gone`);
    await this.#stop();
    await removeData(directory);
    await directory.purge();
  }
}
