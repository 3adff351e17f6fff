/** Counts what a move of all sessions did: the answer to `move`. */
import { NOTHING_MOVED, addMoved, type StateMoved } from '../session-state/index.js';
import type { MoveResult } from './control-api.js';
import { holdTimes } from './hold-times.js';
import type { Session } from './session.js';

export class Tally {
  dropped = 0;
  readonly failed: { id: number; reason: string }[] = [];
  readonly lost: { id: number; what: string }[] = [];
  readonly #holdMs: number[] = [];
  #stateMoved: StateMoved = NOTHING_MOVED;

  moved(session: Session, losses: readonly string[]): void {
    const heldMs = session.heldForMs();
    session.lastMoveMs = heldMs;
    this.#holdMs.push(heldMs);
    this.lost.push(...losses.map((what) => ({ id: session.identity.id, what })));
    if (session.state) this.#stateMoved = addMoved(this.#stateMoved, session.state);
  }

  /** `each`: with the times of each session. */
  result(total: number, each: boolean): MoveResult {
    const moved = this.#holdMs.length;
    return {
      total,
      moved,
      kept: 0,
      failed: this.failed,
      dropped: this.dropped,
      lost: this.lost,
      holdMs: holdTimes(this.#holdMs),
      ...(each ? { heldMs: this.#holdMs } : {}),
      stateMoved: this.#stateMoved,
    };
  }
}
