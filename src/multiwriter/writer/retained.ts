/**
 * What was handed over to the engine, until it is there on disk.
 *
 *   handed over ─▶ missing ─ committed ─▶ retained ─ a round ─▶ durable (vector)
 *
 * The engine commits without syncing. A round ends with a commit that is synced, once nothing is missing of what had been handed over when it
 * began: then all that is on disk.
 */
import { includes, type Lsn, type Vector } from '../protocol/index.js';

/** Rounds are at least so far apart: each is a sync of the engine's. */
const ROUND_MS = 500;

export interface Retainable {
  readonly lsn: Lsn;
  readonly payload: string;
}

interface Round {
  /** Up to here nothing is missing once `missing` is empty. */
  readonly vector: Vector;
  readonly missing: Set<Lsn>;
  /** Those of the retained that are on disk with it. */
  readonly covers: ReadonlySet<Lsn>;
}

export class Retained {
  /** Makes all durable that is in the engine up to there. Throws when it cannot now. */
  readonly #sync: (vector: Vector) => Promise<void>;
  /** In the order in which they were decided. */
  readonly #entries = new Map<Lsn, Retainable>();
  readonly #missing = new Set<Lsn>();
  #round: Round | null = null;
  #beganAt = 0;
  #durable: Vector = {};

  constructor(sync: (vector: Vector) => Promise<void>) {
    this.#sync = sync;
  }

  begin(durable: Vector): void {
    this.#durable = durable;
  }

  get durable(): Vector {
    return this.#durable;
  }

  /** Nothing of it that was handed over is still to come into the engine. */
  has(upTo: Vector): boolean {
    for (const lsn of this.#missing) if (includes(upTo, lsn)) return false;
    return true;
  }

  handedOver(entry: Retainable): void {
    this.#missing.add(entry.lsn);
    this.#entries.set(entry.lsn, entry);
  }

  committed(lsn: Lsn): void {
    this.#missing.delete(lsn);
    if (this.#round?.missing.delete(lsn)) void this.#finish();
  }

  /** What an engine that has crashed, or has taken over from another one, may have lost. */
  mayBeLost(): Retainable[] {
    return [...this.#entries.values()].filter(({ lsn }) => !this.#missing.has(lsn));
  }

  /** Now and then. `vector`: what has been handed over, without a gap. */
  tick(vector: Vector): void {
    if (this.#round || performance.now() - this.#beganAt < ROUND_MS) return;
    if (JSON.stringify(vector) === JSON.stringify(this.#durable)) return;
    this.#round = { vector, missing: new Set(this.#missing), covers: new Set(this.#entries.keys()) };
    void this.#finish();
  }

  async #finish(): Promise<void> {
    const round = this.#round;
    if (!round || round.missing.size > 0) return;
    this.#beganAt = performance.now();
    try {
      await this.#sync(round.vector);
      for (const lsn of round.covers) this.#entries.delete(lsn);
      this.#durable = round.vector;
    } catch {
      // The engine is away: the next round says it again.
    } finally {
      this.#round = null;
    }
  }
}
