/**
 * Ctrl-C, SIGTERM, and SIGHUP (the terminal is gone), which is a SIGTERM: the first one says something and asks the command to
 * end, a second one ends it.
 */
import { DbproxyError, ExitCode } from '../errors/index.js';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** What a command ends with whose output nobody reads: no failure, and nothing to say to anybody. */
export class ReaderGone extends Error {}

export class Interruption {
  readonly #controller = new AbortController();
  /** Aborted at the first signal, with the error that the command ends with as its reason; ReaderGone when nobody reads its output any more. */
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

  /** Nobody reads stdout any more (`| head -1`): the same as a signal, without a word. */
  watchReader(): void {
    process.stdout.on('error', this.#readerGone);
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
    process.stdout.off('error', this.#readerGone);
  }

  readonly #readerGone = (error: NodeJS.ErrnoException): void => {
    if (error.code === 'EPIPE') this.#controller.abort(new ReaderGone());
  };

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
