/** The steps of a scenario: told as they begin, timed, and left as soon as the scenario is interrupted. */
import { DbproxyError } from '../errors/index.js';
import type { ScenarioOptions, StepResult } from './types.js';

export class Steps {
  readonly #options: ScenarioOptions;
  readonly #results: StepResult[] = [];
  readonly #startMs = performance.now();
  #current = '';

  constructor(options: ScenarioOptions) {
    this.#options = options;
  }

  get results(): readonly StepResult[] {
    return this.#results;
  }
  get totalMs(): number {
    return Math.round(performance.now() - this.#startMs);
  }
  get current(): string {
    return this.#current;
  }

  tell(name: string, detail: string): void {
    this.#options.onProgress?.({ kind: 'step', name, detail });
  }

  /** Runs a step. An interruption ends the waiting, not the work: that is for the clean-up. */
  run<T>(name: string, detail: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const signal = this.#options.signal ?? new AbortController().signal;
    return this.always(name, detail, () => orInterrupted(work, signal));
  }

  /** Runs a step even when the scenario has been interrupted. */
  async always<T>(name: string, detail: string, work: () => Promise<T>): Promise<T> {
    this.#current = name;
    this.tell(name, detail);
    const beganMs = performance.now();
    let outcome: StepResult['outcome'] = 'failed';
    try {
      const result = await work();
      outcome = 'done';
      return result;
    } finally {
      this.#results.push({ name, outcome, ms: Math.round(performance.now() - beganMs) });
    }
  }

  /** Lets time pass, unless `unless` ends (the load must not): then this rejects, or goes on at once. */
  wait(name: string, detail: string, ms: number, unless: Promise<unknown>): Promise<void> {
    return this.run(name, detail, async () => {
      let timer: NodeJS.Timeout | undefined;
      const passed = new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)));
      await Promise.race([passed, unless]).finally(() => clearTimeout(timer));
    });
  }
}

async function orInterrupted<T>(work: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> {
  const interrupted = (): DbproxyError => new DbproxyError('DBP_INTERRUPTED', { signal: signalName(signal) });
  if (signal.aborted) throw interrupted();
  let onAbort: () => void = () => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(interrupted());
    signal.addEventListener('abort', onAbort);
  });
  try {
    return await Promise.race([work(signal), aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

const signalName = ({ reason }: AbortSignal): string =>
  typeof reason === 'string'
    ? reason
    : reason instanceof DbproxyError && typeof reason.details.signal === 'string'
      ? reason.details.signal
      : 'SIGINT';
