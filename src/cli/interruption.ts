/** Ctrl-C and SIGTERM: the first one says something and asks the command to end, a second one ends it. */
import { DbproxyError, ExitCode } from '../errors/index.js';

export class Interruption {
  readonly #controller = new AbortController();
  /** Aborted at the first signal, with the error that the command ends with as its reason. */
  readonly signal: AbortSignal = this.#controller.signal;
  readonly #onFirst: (signal: NodeJS.Signals) => void;

  constructor(onFirst: (signal: NodeJS.Signals) => void) {
    this.#onFirst = onFirst;
  }

  listen(): void {
    process.on('SIGINT', this.#receive);
    process.on('SIGTERM', this.#receive);
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
    process.off('SIGINT', this.#receive);
    process.off('SIGTERM', this.#receive);
  }

  readonly #receive = (signal: NodeJS.Signals): void => {
    const terminated = signal === 'SIGTERM';
    if (this.signal.aborted) process.exit(terminated ? ExitCode.terminated : ExitCode.interrupted);
    this.#onFirst(signal);
    this.#controller.abort(
      terminated
        ? new DbproxyError('DBP_TERMINATED', { signal })
        : new DbproxyError('DBP_INTERRUPTED', { signal }),
    );
  };
}
