/**
 * The arrivals of an open loop: a Poisson process, or a steady beat, whose times are fixed by the seed before anything has
 * been measured. The queue of what is due is never built: it is the arrivals between `peek()` and now.
 */
import { exponential, type Random } from './random.js';
import type { ArrivalKind } from './types.js';

export class Arrivals {
  readonly #gapMs: () => number;
  #nextMs: number;

  /** `startMs`: nothing arrives before. */
  constructor(random: Random, ratePerSecond: number, startMs: number, kind: ArrivalKind = 'poisson') {
    const meanMs = 1000 / ratePerSecond;
    this.#gapMs = kind === 'poisson' ? () => exponential(random, meanMs) : () => meanMs;
    // Not all runs begin with the same beat.
    this.#nextMs = startMs + (kind === 'poisson' ? this.#gapMs() : random() * meanMs);
  }

  /** Intended start of the next transaction. */
  peek(): number {
    return this.#nextMs;
  }

  /** Takes it off the queue. */
  take(): number {
    const takenMs = this.#nextMs;
    this.#nextMs += this.#gapMs();
    return takenMs;
  }
}
