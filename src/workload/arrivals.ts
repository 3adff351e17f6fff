/**
 * The arrivals of an open loop: a Poisson process whose times are fixed by the seed before anything has been measured.
 * The queue of what is due is never built: it is the arrivals between `peek()` and now.
 */
import { exponential, type Random } from './random.js';

export class Arrivals {
  readonly #random: Random;
  readonly #meanGapMs: number;
  #nextMs: number;

  /** `startMs`: nothing arrives before. */
  constructor(random: Random, ratePerSecond: number, startMs: number) {
    this.#random = random;
    this.#meanGapMs = 1000 / ratePerSecond;
    this.#nextMs = startMs + exponential(random, this.#meanGapMs);
  }

  /** Intended start of the next transaction. */
  peek(): number {
    return this.#nextMs;
  }

  /** Takes it off the queue. */
  take(): number {
    const takenMs = this.#nextMs;
    this.#nextMs += exponential(this.#random, this.#meanGapMs);
    return takenMs;
  }
}
