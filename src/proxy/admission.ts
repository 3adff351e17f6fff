/**
 * In which order sessions go on, once they are on the new engine. A backend's first transaction there is slow: at the end of
 * recovery PostgreSQL resets the caches of all backends (SIResetAll), so each builds its catalog caches and plans anew, some
 * 2.5 ms of CPU. When all queued requests run at the same time, each takes as long as all of them. So whose client has waited the
 * longest goes first, a few at a time, and whoever sends something meanwhile queues up behind. When all those that waited from the
 * beginning have begun, everybody is free. Few sessions are free from the start (crowd.ts).
 *
 *   swapped ──▶ waiting (oldest request first) ──▶ running, until its safe point, at most `slotMs` ──▶ free
 *          └──▶ quiet ── sends something ──▶ waiting
 *
 * It is a matter of milliseconds: after `limitMs` everybody is free, whatever the engine does with what they ask.
 */
import { availableParallelism } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import type { Session } from './session.js';

export interface AdmissionBounds {
  /** How many run at the same time. */
  readonly slots: number;
  /** How long one may keep others waiting, ms. */
  readonly slotMs: number;
  /** How long anybody may be kept waiting for others, ms. */
  readonly limitMs: number;
}

/** The processors, and as many again that wait for their clients; several proxy processes share them. */
export const boundsOf = (processes: number): AdmissionBounds => ({
  slots: Math.max(1, Math.round((2 * availableParallelism()) / processes)),
  slotMs: 20,
  limitMs: 100,
});

/** Of a session, as much as it takes. */
export type Admitted = Pick<Session, 'hasWaitingBytes' | 'waitingSinceMs' | 'onWaits' | 'step' | 'release'>;

export class Admission {
  readonly #bounds: AdmissionBounds;
  readonly #waiting: Entry[] = [];
  readonly #quiet = new Set<Entry>();
  #running = 0;
  /** Sessions that are still to come. */
  #expected: number;
  #open: boolean;
  #limit: NodeJS.Timeout | undefined;

  /** `expected`: for how many sessions `pass` or `withdraw` will be called. `inOrder`: false lets everybody go on at once. */
  constructor(expected: number, inOrder: boolean, bounds = boundsOf(1)) {
    this.#bounds = bounds;
    this.#expected = expected;
    this.#open = !inOrder;
  }

  /** The session, which is held and swapped, goes on when it is its turn: then this resolves. `free`: the moment before it does. */
  pass(session: Admitted, free: () => void): Promise<void> {
    if (!this.#open) this.#limit ??= setTimeout(() => this.#openAll(), this.#bounds.limitMs);
    return new Promise((resolve) => {
      const entry = { session, free, resolve, waited: session.hasWaitingBytes };
      this.#arrived();
      if (this.#open) this.#free(entry);
      else if (session.hasWaitingBytes) this.#enqueue(entry);
      else this.#park(entry);
      this.#advance();
    });
  }

  /** One of those expected does not come. */
  withdraw(): void {
    this.#arrived();
    this.#advance();
  }

  #arrived(): void {
    this.#expected--;
  }

  #park(entry: Entry): void {
    this.#quiet.add(entry);
    entry.session.onWaits = () => {
      if (!this.#quiet.delete(entry)) return;
      this.#enqueue(entry);
      this.#advance();
    };
  }

  #enqueue(entry: Entry): void {
    this.#waiting.push(entry);
  }

  #advance(): void {
    while (!this.#open && this.#running < this.#bounds.slots) {
      const next = takeOldest(this.#waiting);
      if (!next) break;
      void this.#run(next);
    }
    if (this.#expected <= 0 && !this.#waiting.some(({ waited }) => waited)) this.#openAll();
  }

  async #run(entry: Entry): Promise<void> {
    this.#running++;
    entry.free();
    await Promise.race([entry.session.step(), delay(this.#bounds.slotMs)]);
    this.#running--;
    await this.#release(entry);
    this.#advance();
  }

  #openAll(): void {
    if (this.#open) return;
    this.#open = true;
    clearTimeout(this.#limit);
    for (const entry of [...this.#waiting.splice(0).sort(byWaiting), ...this.#quiet]) this.#free(entry);
    this.#quiet.clear();
  }

  #free(entry: Entry): void {
    entry.free();
    void this.#release(entry);
  }

  async #release({ session, resolve }: Entry): Promise<void> {
    session.onWaits = null;
    await session.release();
    resolve();
  }
}

interface Entry {
  readonly session: Admitted;
  /** From the beginning. */
  readonly waited: boolean;
  readonly free: () => void;
  readonly resolve: () => void;
}

const byWaiting = (a: Entry, b: Entry): number => a.session.waitingSinceMs - b.session.waitingSinceMs;

const takeOldest = (waiting: Entry[]): Entry | null => {
  if (waiting.length === 0) return null;
  const oldest = waiting.reduce((least, each) => (byWaiting(each, least) < 0 ? each : least));
  waiting.splice(waiting.indexOf(oldest), 1);
  return oldest;
};
