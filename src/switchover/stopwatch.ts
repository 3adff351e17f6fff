/** Time spent in each step of a switchover. A step that is entered again (another hold attempt) adds up. */
import { SWITCHOVER_STEPS, type SwitchoverStep } from './steps.js';
import type { StepTimes } from './types.js';

export class Stopwatch {
  readonly #now: () => number;
  readonly #spentMs = new Map<SwitchoverStep, number>();
  #current: { step: SwitchoverStep; since: number } | null = null;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Ends the step that runs, and begins this one. */
  enter(step: SwitchoverStep): void {
    this.stop();
    this.#current = { step, since: this.#now() };
  }

  stop(): void {
    if (!this.#current) return;
    const { step, since } = this.#current;
    this.#spentMs.set(step, (this.#spentMs.get(step) ?? 0) + this.#now() - since);
    this.#current = null;
  }

  get current(): SwitchoverStep | null {
    return this.#current?.step ?? null;
  }

  get times(): StepTimes {
    const times = SWITCHOVER_STEPS.map((step) => [step, roundMs(this.#spentMs.get(step) ?? 0)]);
    return Object.fromEntries(times) as StepTimes;
  }
}

/** To a tenth. */
export const roundMs = (ms: number): number => Math.round(ms * 10) / 10;
