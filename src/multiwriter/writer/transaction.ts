/**
 * A transaction of one of this writer's clients, as the writer knows it.
 *
 *   open ─ propose ─▶ proposed ─ decided ─▶ accepted ─ committed here ─▶ over
 *    └─ rolled back, or nothing written ─▶ over ◀─ refused ─┘   └─ lost here ─▶ replayed like one of another writer ─▶ over
 */
import type { WriteSet } from '../engine/index.js';
import type { Lsn, Outcome, Refusal, Ruling, Vector } from '../protocol/index.js';

/** A session of a client. */
export interface Participant {
  /** Its number, for people. */
  readonly session: number;
  /** Its backend on the engine. */
  readonly backendPid: number;
  /** It stands in the way of `lsn`, which another writer has committed: roll it back, unless it was proposed. */
  overtaken(lsn: Lsn): boolean;
  /** Nothing of it is at work, and nothing of its client's is left to do. */
  readonly isQuiet: boolean;
}

/** What a client reads when its transaction does not commit. */
export interface RefusedCommit {
  readonly sqlstate: string;
  readonly message: string;
  readonly detail?: string;
  readonly hint?: string;
}

export type Verdict =
  | { readonly kind: 'commit'; readonly lsn: Lsn }
  | { readonly kind: 'refused'; readonly lsn: Lsn | null; readonly error: RefusedCommit };

export class Transaction {
  readonly participant: Participant;
  /** The writer's when it began; with another one its snapshot may lack something of its own writer. */
  readonly generation: number;
  state: 'open' | 'proposed' | 'accepted' | 'over' = 'open';
  /** What was in the engine when it began; its snapshot may have more. */
  readonly base: Vector;
  lsn: Lsn | null = null;
  writeSet: WriteSet | null = null;
  /** Why it was given up before it was proposed. */
  doom: RefusedCommit | null = null;
  /** What nodes said against it. */
  readonly refusals: Refusal[] = [];
  #settle: (decided: { outcome: Outcome; ruling: Ruling | null }) => void = () => undefined;
  readonly decided: Promise<{ outcome: Outcome; ruling: Ruling | null }>;

  constructor(participant: Participant, generation: number, base: Vector) {
    this.participant = participant;
    this.generation = generation;
    this.base = base;
    this.decided = new Promise((resolve) => (this.#settle = resolve));
  }

  settle(outcome: Outcome, ruling: Ruling | null): void {
    this.#settle({ outcome, ruling });
  }
}
