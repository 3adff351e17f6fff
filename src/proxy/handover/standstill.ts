/**
 * One of several writers: what it proposes is in the memory of its process, and so two processes cannot have its sessions at the same
 * time. Before any of them goes over they all stand still at a safe point, and the writer has made way for the next incarnation of
 * itself, which the successor is.
 *
 *   flowing ─ everybody held, nothing proposed ─▶ still ─ makeWay ─▶ without a writer ─▶ sessions go over
 *      ▲                                            │ resume                 │ resume: it opens once more, as another incarnation
 *      └────────────────────────────────────────────┴───────────────────────┘
 */
import { setTimeout as delay } from 'node:timers/promises';
import { DbproxyError } from '../../errors/index.js';
import type { Blocker, HoldResult, WriterHandover } from '../control-api.js';

export interface StandstillOptions {
  /** Of the instance, for what people are told. */
  readonly name: string;
  readonly asked: WriterHandover;
  readonly standStill: (budgetMs: number, cancels: boolean) => Promise<HoldResult>;
  /** This incarnation proposes nothing any more. */
  readonly makeWay: () => void;
  /** Another one does, on the same engine. Resolves when it has begun; where that takes long it goes on beside what is done next. */
  readonly reopen: (incarnation: number) => Promise<void>;
  readonly release: () => Promise<void>;
}

/** Before the next attempt, ms: whoever had to wait goes on meanwhile. */
const BETWEEN_ATTEMPTS_MS = 500;

/** So long sessions wait for it at most; then only those do that write. */
const REOPEN_BOUND_MS = 2_000;

export class Standstill {
  readonly #options: StandstillOptions;
  #sinceNs: bigint | null = null;
  /** Sessions are held, or may come to be. */
  #holds = false;
  #hasMadeWay = false;

  constructor(options: StandstillOptions) {
    this.#options = options;
  }

  /** Since when sessions wait: ns, monotonic; null: they do not. */
  get sinceNs(): bigint | null {
    return this.#sinceNs;
  }

  /** What the successor needs to lead at once; null: another writer does. */
  get epoch(): number | null {
    return this.#options.asked.epoch;
  }

  /**
   * Again and again until the deadline. Throws DBP_PROXY_STANDSTILL with who could not: everybody goes on; and what `stopped` rejects
   * with: everybody does after `resume`.
   */
  async begin(waitsFor: (who: string) => void, stopped: Promise<never>): Promise<void> {
    const { name, asked, standStill } = this.#options;
    const { deadlineMs } = asked;
    const endMs = performance.now() + deadlineMs;
    for (;;) {
      const leftMs = endMs - performance.now();
      // There is no time for a whole one behind it.
      const isLast = leftMs < 2 * asked.holdBudgetMs;
      const budgetMs = Math.max(1, Math.min(leftMs, asked.holdBudgetMs));
      const sinceNs = process.hrtime.bigint();
      this.#holds = true;
      const attempt = standStill(budgetMs, isLast && asked.onTimeout === 'cancel');
      const { held, blockers } = await Promise.race([attempt, stopped]);
      if (held) {
        this.#sinceNs = sinceNs;
        return;
      }
      this.#holds = false;
      if (isLast)
        throw new DbproxyError('DBP_PROXY_STANDSTILL', { name, deadlineMs, reason: inWords(blockers) });
      waitsFor(inWords(blockers));
      const pauseMs = Math.min(BETWEEN_ATTEMPTS_MS, endMs - performance.now() - asked.holdBudgetMs);
      await Promise.race([delay(pauseMs), stopped]);
    }
  }

  /** From here on nothing is proposed by this incarnation. */
  makeWay(): void {
    this.#hasMadeWay = true;
    this.#options.makeWay();
  }

  /** Everybody goes on here. */
  async resume(): Promise<void> {
    if (!this.#holds) return;
    const { asked, reopen, release } = this.#options;
    try {
      if (this.#hasMadeWay) await Promise.race([reopen(asked.spare), delay(REOPEN_BOUND_MS)]);
    } finally {
      this.#sinceNs = null;
      this.#holds = false;
      await release();
    }
  }
}

const inWords = (blockers: readonly Blocker[]): string =>
  blockers.length === 0
    ? 'its sessions could not be held in time'
    : blockers.map(({ id, reason }) => `session ${id} ${reason}`).join('; ');
