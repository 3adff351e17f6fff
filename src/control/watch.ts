/** Notices when the proxy or the primary dies: the proxy by its connection, both by a look at their processes. */
import type { EngineOperations, EngineRecord } from '../engine/types.js';
import { isAlive } from './processes.js';
import type { Proxy } from './proxy-process.js';

const LOOK_EVERY_MS = 500;

export type Loss =
  /** `pid`: null: there was none. */
  | { readonly what: 'proxy'; readonly pid: number | null }
  | { readonly what: 'engine'; readonly engine: EngineRecord };

export interface Watched {
  readonly proxy: Proxy | null;
  readonly primary: EngineRecord | null;
  /** What is to be repaired is none of the two: `onLoss` is called without a loss. */
  readonly triesAgain: boolean;
}

export class Watch {
  readonly #engines: Pick<EngineOperations, 'isRunning'>;
  readonly #watched: () => Watched | null;
  readonly #onLoss: (losses: readonly Loss[]) => Promise<void>;
  #timer: NodeJS.Timeout | null = null;
  #looking: Promise<void> | null = null;

  /** `watched` gives null while there is nothing to watch (an operation runs, a repair runs). */
  constructor(
    engines: Pick<EngineOperations, 'isRunning'>,
    watched: () => Watched | null,
    onLoss: (losses: readonly Loss[]) => Promise<void>,
  ) {
    this.#engines = engines;
    this.#watched = watched;
    this.#onLoss = onLoss;
  }

  start(): void {
    this.#timer ??= setInterval(() => void this.look(), LOOK_EVERY_MS);
  }

  stop(): void {
    if (this.#timer) clearInterval(this.#timer);
    this.#timer = null;
  }

  /** One look, now, or the one that is under way. Over when what was lost has been seen to. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => (this.#looking = null));
    return this.#looking;
  }

  async #look(): Promise<void> {
    const watched = this.#watched();
    if (!watched) return;
    const losses: Loss[] = [];
    if (!watched.proxy) losses.push({ what: 'proxy', pid: null });
    for (const { process } of watched.proxy?.members ?? [])
      if (!isAlive(process)) losses.push({ what: 'proxy', pid: process.pid });
    if (watched.primary && !(await this.#engines.isRunning(watched.primary))) {
      losses.push({ what: 'engine', engine: watched.primary });
    }
    // The look took a moment: an operation may have begun, and the engine may be another one now.
    const now = this.#watched();
    if (!now || now.primary?.id !== watched.primary?.id) return;
    if (losses.length > 0 || now.triesAgain) await this.#onLoss(losses);
  }
}
