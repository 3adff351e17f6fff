/**
 * The look-ahead. Reading the state of a session takes a millisecond of CPU, and a hundred of them, once everybody is held, are
 * most of the hold. So between `warm` and `hold` sessions that were asked something since they were read are read again, a
 * few at a time, each at a safe point at which its client asks nothing. Then only those that were at work in the very last moment
 * are read under the hold.
 *
 * What was read ahead counts only as long as nothing can have changed it since: no byte of the client's was forwarded
 * (Session.dirty), and nobody else could have (othersCanChange; such sessions are read again under the hold anyway).
 */
import { fewAtATime } from './few-at-a-time.js';
import { setTimeout as delay } from 'node:timers/promises';
import type { Session } from './session.js';

/** How long it goes on for a hold that does not come, ms. */
const LIMIT_MS = 2_000;
/** Between two searches for a session to look at, when there was none; ms. */
const PAUSE_MS = 1;
/** One is read while the answer of the other one is on its way. */
const CONCURRENCY = 2;
/** With more than this part of the sessions at work at the moment, all of them will be again before the hold. */
const TOO_BUSY = 0.2;
/** A round that leaves more than this part of what it found was in vain: looks cannot keep up, and only cost. */
const IN_VAIN = 0.7;

export class LookAhead {
  readonly #sessions: ReadonlySet<Session>;
  readonly #look: (session: Session) => Promise<unknown>;
  #stopped = false;

  /** `look` reads a session that is quiet, and brings it to the target; it does not fail. */
  constructor(sessions: ReadonlySet<Session>, look: (session: Session) => Promise<unknown>) {
    this.#sessions = sessions;
    this.#look = look;
  }

  /**
   * Resolves when round after round few are left, or as many as before, or after `withinMs`; goes on from then on, if that is
   * worth its cost.
   */
  async run(withinMs: number): Promise<void> {
    const end = performance.now() + withinMs;
    let before = Infinity;
    let found = this.#toRead();
    while (
      found.length > 0 &&
      found.length <= before * IN_VAIN &&
      performance.now() < end &&
      !this.#tooBusy
    ) {
      before = found.length;
      await this.#round(found, end);
      found = this.#toRead();
    }
    if (found.length <= before * IN_VAIN && !this.#tooBusy) void this.#keepUp();
  }

  get #tooBusy(): boolean {
    const active = [...this.#sessions].filter((session) => session.isActive).length;
    return active > Math.max(1, this.#sessions.size * TOO_BUSY);
  }

  #toRead(): Session[] {
    return this.#stopped ? [] : [...this.#sessions].filter(isToBeRead).sort(quietest);
  }

  async #round(sessions: readonly Session[], end: number): Promise<void> {
    await fewAtATime(sessions, CONCURRENCY, async (next) => {
      if (!this.#stopped && performance.now() < end && isToBeRead(next)) await this.#look(next);
    });
  }

  /** Begins no look any more. One that is under way ends by itself; a hold counts beside its own. */
  stop(): void {
    this.#stopped = true;
  }

  async #keepUp(): Promise<void> {
    const end = performance.now() + LIMIT_MS;
    while (!this.#stopped && performance.now() < end) {
      const [next] = this.#toRead();
      if (next) await this.#look(next);
      else await delay(PAUSE_MS);
    }
  }
}

const isToBeRead = (session: Session): boolean => session.dirty && !session.isClosed && !session.isActive;
/** Whoever has been quiet the longest is the least likely to be asked something meanwhile. */
const quietest = (a: Session, b: Session): number => a.quietSinceMs - b.quietSinceMs;
