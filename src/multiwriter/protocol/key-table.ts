/**
 * Who holds which key: the undecided transactions that use it, and the newest committed use by each writer in each mode. That is what
 * a node's vote is about.
 */
import type { Lsn } from './lsn.js';
import { writerOf } from './lsn.js';
import { areCompatible, type KeyMode, type Proposal, proposerOf } from './proposal.js';
import { includes, type Vector } from './vector.js';

export interface Obstacle {
  readonly against: Lsn;
  readonly key: string;
}

interface Uses {
  readonly undecided: Map<Lsn, Proposal>;
  /** By writer and mode: one that is older than the newest says nothing more. */
  readonly committed: Map<string, Use>;
}

interface Use {
  readonly lsn: Lsn;
  readonly mode: KeyMode;
  readonly base: Vector;
}

export class KeyTable {
  readonly #keys = new Map<string, Uses>();

  get size(): number {
    return this.#keys.size;
  }

  hold(proposal: Proposal): void {
    for (const { key } of proposal.keys) this.#uses(key).undecided.set(proposal.lsn, proposal);
  }

  release(proposal: Proposal): void {
    for (const { key } of proposal.keys) {
      this.#keys.get(key)?.undecided.delete(proposal.lsn);
      this.#forgetIfUnused(key);
    }
  }

  commit(proposal: Proposal): void {
    this.release(proposal);
    const writer = proposerOf(proposal);
    for (const { key, mode } of proposal.keys) {
      const { committed } = this.#uses(key);
      const newest = committed.get(`${writer} ${mode}`);
      if (!newest || newest.lsn < proposal.lsn)
        committed.set(`${writer} ${mode}`, { lsn: proposal.lsn, mode, base: proposal.base });
    }
  }

  /** A committed transaction of another writer that this one should have seen, and has not; nor has that one seen this. */
  committedObstacle(proposal: Proposal, hasSeenIt: (base: Vector) => boolean = () => false): Obstacle | null {
    for (const { key, mode } of proposal.keys) {
      for (const use of this.#keys.get(key)?.committed.values() ?? []) {
        if (writerOf(use.lsn) === proposerOf(proposal) || areCompatible(mode, use.mode)) continue;
        if (!includes(proposal.base, use.lsn) && !hasSeenIt(use.base)) return { against: use.lsn, key };
      }
    }
    return null;
  }

  /** The undecided transactions that use a key of this one, in whatever mode. */
  neighbours(proposal: Proposal): Map<Lsn, Proposal> {
    const found = new Map<Lsn, Proposal>();
    for (const { key } of proposal.keys) {
      for (const [other, held] of this.#keys.get(key)?.undecided ?? []) found.set(other, held);
    }
    found.delete(proposal.lsn);
    return found;
  }

  /** Forgets what every base includes from now on. */
  truncate(below: Vector): void {
    for (const [key, { committed }] of this.#keys) {
      for (const [use, { lsn }] of committed) if (includes(below, lsn)) committed.delete(use);
      this.#forgetIfUnused(key);
    }
  }

  #uses(key: string): Uses {
    let uses = this.#keys.get(key);
    if (!uses) this.#keys.set(key, (uses = { undecided: new Map(), committed: new Map() }));
    return uses;
  }

  #forgetIfUnused(key: string): void {
    const uses = this.#keys.get(key);
    if (uses && uses.undecided.size === 0 && uses.committed.size === 0) this.#keys.delete(key);
  }
}
