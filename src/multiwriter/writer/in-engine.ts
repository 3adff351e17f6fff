/** Of each writer the last transaction that is committed in the engine: the base of whoever begins. */
import { at, highest, type Lsn, type Vector, writerOf } from '../protocol/index.js';

export class InEngine {
  #vector: Vector = {};
  /** Durable, and in #vector. */
  #counted: Vector = {};

  begin(claimed: Vector): void {
    this.#vector = claimed;
  }

  committed(lsn: Lsn): void {
    const writer = writerOf(lsn);
    if (lsn > at(this.#vector, writer)) this.#vector = { ...this.#vector, [writer]: lsn };
  }

  /**
   * Not below `durable`, what the engine has on disk without a gap: that is the horizon of what the log remembers, and an LSN that came to
   * nothing counts there, too.
   */
  base(durable: Vector): Vector {
    if (durable !== this.#counted) this.#vector = highest(this.#vector, durable);
    this.#counted = durable;
    return this.#vector;
  }

  get vector(): Vector {
    return this.#vector;
  }
}
