/**
 * Ctrl-C, SIGTERM, and SIGHUP (the terminal is gone), which is a SIGTERM: the first one says something and asks the command to
 * end, a second one ends it.
 */
import { DbproxyError, ExitCode } from '../errors/index.js';
import { whyUnwritable } from './stdout.js';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export class Interruption {
  readonly #controller = new AbortController();
  /** Aborted at the first signal, and when its output cannot be written any more; its reason is what the command ends with. */
  readonly signal: AbortSignal = this.#controller.signal;
  readonly #onFirst: (signal: NodeJS.Signals) => void;
  readonly #onForced: () => void;

  /** `onForced`: the last thing that is done. */
  constructor(onFirst: (signal: NodeJS.Signals) => void, onForced: () => void) {
    this.#onFirst = onFirst;
    this.#onForced = onForced;
  }

  listen(): void {
    for (const signal of SIGNALS) process.on(signal, this.#receive);
  }

  /** Nobody reads stdout any more (`| head -1`), or it cannot be written: the same as a signal. */
  watchOutput(): void {
    process.stdout.on('error', this.#outputGone);
  }

  /** Rejects at the first signal. */
  get raised(): Promise<never> {
    return new Promise((_, reject) => {
      const give = (): void => reject(this.signal.reason as DbproxyError);
      if (this.signal.aborted) give();
      else this.signal.addEventListener('abort', give, { once: true });
    });
  }

  dispose(): void {
    for (const signal of SIGNALS) process.off(signal, this.#receive);
    process.stdout.off('error', this.#outputGone);
  }

  readonly #outputGone = (error: Error): void => this.#controller.abort(whyUnwritable(error));

  readonly #receive = (signal: NodeJS.Signals): void => {
    const terminated = signal !== 'SIGINT';
    if (this.signal.aborted) {
      this.#onForced();
      process.exit(terminated ? ExitCode.terminated : ExitCode.interrupted);
    }
    this.#onFirst(signal);
    this.#controller.abort(
      terminated
        ? new DbproxyError('DBP_TERMINATED', { signal })
        : new DbproxyError('DBP_INTERRUPTED', { signal }),
    );
  };
}
