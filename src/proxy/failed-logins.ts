/**
 * Guessing passwords costs time: after a few wrong ones, logins of that role from that address wait for their turn, one after
 * the other, before they are looked at. Whoever has the right password waits, too (else the wait itself would tell), but gets in:
 * a delay, no lock-out. A login that succeeds ends it.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { DbproxyError } from '../errors/index.js';

/** People mistype. */
const FREE_FAILURES = 5;
const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 2_000;
/** Whoever would wait longer than this, because so many wait before, is turned away, ms. */
const LONGEST_WAIT_MS = 10_000;
/** Forgotten after this long without another failure, ms. */
const FORGOTTEN_MS = 60_000;
/** Pairs of role and address that are remembered: the oldest go first. About 2 MB. */
const REMEMBERED = 10_000;

interface Failures {
  count: number;
  lastMs: number;
  /** When the next one may be looked at. */
  nextMs: number;
}

export class FailedLogins {
  readonly #now: () => number;
  /** The one whose last failure is the longest ago comes first. */
  readonly #failures = new Map<string, Failures>();

  /** `now`: ms, monotonic. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  get size(): number {
    return this.#failures.size;
  }

  /** Resolves when this login may be looked at. Throws DBP_WIRE_FAILED_LOGINS when too many wait. */
  async turn(user: string, host: string): Promise<void> {
    const waitMs = this.waitMs(user, host);
    if (waitMs > 0) await delay(waitMs);
  }

  /** How long the next login has to wait; it takes its place in the line. Throws as `turn`. */
  waitMs(user: string, host: string): number {
    const failures = this.#known(user, host);
    if (!failures || failures.count < FREE_FAILURES) return 0;
    const now = this.#now();
    const turnMs = Math.max(now, failures.nextMs);
    if (turnMs - now > LONGEST_WAIT_MS) throw new DbproxyError('DBP_WIRE_FAILED_LOGINS', { user });
    const doubled = FIRST_DELAY_MS * 2 ** Math.min(10, failures.count - FREE_FAILURES);
    failures.nextMs = turnMs + Math.min(LONGEST_DELAY_MS, doubled);
    return turnMs - now;
  }

  failed(user: string, host: string): void {
    const now = this.#now();
    const key = keyOf(user, host);
    const failures = this.#known(user, host) ?? { count: 0, lastMs: now, nextMs: now };
    failures.count++;
    failures.lastMs = now;
    if (failures.count === FREE_FAILURES) failures.nextMs = now + FIRST_DELAY_MS;
    this.#failures.delete(key);
    this.#failures.set(key, failures);
    const [oldest] = this.#failures.keys();
    if (this.#failures.size > REMEMBERED && oldest !== undefined) this.#failures.delete(oldest);
  }

  succeeded(user: string, host: string): void {
    this.#failures.delete(keyOf(user, host));
  }

  #known(user: string, host: string): Failures | undefined {
    const key = keyOf(user, host);
    const failures = this.#failures.get(key);
    if (!failures || this.#now() - failures.lastMs <= FORGOTTEN_MS) return failures;
    this.#failures.delete(key);
    return undefined;
  }
}

/** A role's name may be as long as a start-up packet; the engine knows 63 bytes of it (NAMEDATALEN). */
const keyOf = (user: string, host: string): string => `${host} ${user.slice(0, 63)}`;
