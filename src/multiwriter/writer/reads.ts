/**
 * Reads that must not be old: before a snapshot is taken, the engine has what it has to show.
 *
 *   global      survey ─▶ nodes ─ frontier ×Qc ─▶ wait until that is applied here
 *   a position  what another writer had applied ─▶ wait until that is applied here
 *
 * What a frontier names may be undecided, and come to nothing. So the nodes are asked again while it is waited for: any of the answers
 * is good, since all were given after the read had begun.
 */
import {
  Asked,
  at,
  type Frontier,
  labelOf,
  type Quorums,
  type Survey,
  type Vector,
} from '../protocol/index.js';
import { writers } from '../protocol/vector.js';
import { CANCELED } from './refusal.js';
import type { RefusedCommit } from './transaction.js';

const AGAIN_MS = 200;

/** What a read has to see; neither: what is here. */
export interface ReadDemand {
  /** All that was acknowledged to anybody before it. */
  readonly isGlobal: boolean;
  /** What was applied elsewhere. */
  readonly position: Vector | null;
}

export interface ReadsHost {
  readonly quorums: Quorums;
  /** So long a read waits, ms. */
  readonly waitMs: number;
  ask(message: Survey): void;
  /** Is it in the engine? Throws when it never will be. */
  hasApplied(upTo: Vector): boolean;
  /** What was handed to the engine. */
  reached(): Vector;
  /** Resolves when something has changed, and at every tick. */
  change(): Promise<void>;
}

export const whenAborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));

export class Reads {
  readonly #host: ReadsHost;
  #number = 0;
  /** Those that were asked and are still waited for. */
  readonly #asked = new Set<Asked>();
  /** Asked in this turn of the event loop: whoever reads in it shares the answers. */
  #thisTurn: Asked | null = null;

  constructor(host: ReadsHost) {
    this.#host = host;
  }

  hear(answer: Frontier): void {
    for (const asked of this.#asked) asked.hear(answer);
  }

  /** Null: a snapshot taken now shows it. Else what the client is told. Throws DBP_WRITER_STOPPED. */
  async untilApplied({ isGlobal, position }: ReadDemand, signal: AbortSignal): Promise<RefusedCommit | null> {
    const canceled = whenAborted(signal);
    const end = performance.now() + this.#host.waitMs;
    const asked: Asked[] = [];
    let againAt = 0;
    try {
      for (;;) {
        const isHere = position === null || this.#host.hasApplied(position);
        const isCurrent =
          !isGlobal || asked.some(({ frontier }) => frontier && this.#host.hasApplied(frontier));
        if (isHere && isCurrent) return null;
        if (signal.aborted) return CANCELED;
        const now = performance.now();
        if (now >= end) return this.#tooLate(isHere ? asked : null, position);
        if (isGlobal && now >= againAt) {
          asked.push(this.#ask());
          againAt = now + AGAIN_MS;
        }
        await Promise.race([this.#host.change(), canceled]);
      }
    } finally {
      for (const one of asked) this.#asked.delete(one);
    }
  }

  #ask(): Asked {
    if (this.#thisTurn) return this.#thisTurn;
    const asked = new Asked(++this.#number, this.#host.quorums);
    this.#thisTurn = asked;
    this.#asked.add(asked);
    queueMicrotask(() => {
      this.#thisTurn = null;
      this.#host.ask(asked.message);
    });
    return asked;
  }

  #tooLate(asked: readonly Asked[] | null, position: Vector | null): RefusedCommit {
    const { quorums, waitMs } = this.#host;
    const upTo = asked ? (asked.findLast(({ frontier }) => frontier)?.frontier ?? null) : position;
    const heard = Math.max(0, ...(asked ?? []).map(({ answers }) => answers));
    return {
      sqlstate: '55000',
      message: `what this read has to see did not come to this writer within ${waitMs} ms`,
      detail: upTo
        ? this.#behind(upTo)
        : `${heard} of the ${quorums.classic} storage nodes that are needed have answered.`,
      hint: asked
        ? `Retry, or read what this writer has: SET dbproxy.read_mode = 'instance'.`
        : 'Retry, or read what this writer has: RESET dbproxy.read_after.',
    };
  }

  #behind(upTo: Vector): string {
    const reached = this.#host.reached();
    const behind = writers(upTo).filter((writer) => at(reached, writer) < at(upTo, writer));
    if (behind.length === 0) return 'It is known here, and waits to be applied.';
    const each = behind.map(
      (writer) =>
        `of writer ${labelOf(writer)} up to LSN ${at(upTo, writer)}, here up to ${at(reached, writer)}`,
    );
    return `It goes ${each.join('; ')}.`;
  }
}
