/**
 * What the primary decides: the entries of the decision log. A slot holds one decision for ever; the order of slots settles what
 * an old primary and its successor decided.
 */
import { FIRST_LSN, type Lsn, lsn, RAISE_LSNS, type WriterId, writerOf } from './lsn.js';
import type { NodeId } from './messages.js';

export type Outcome = 'commit' | 'abort';

/** Why the primary ruled so; what people want to see. */
export type Reason =
  /** It had been decided before. */
  | { readonly kind: 'known' }
  /** It may have reached the fast quorum: its writer may have acknowledged it. */
  | { readonly kind: 'possibly-chosen' }
  /** Nobody stood in its way, or it came first by the policy. */
  | { readonly kind: 'policy' }
  /** It collides with a transaction that commits. */
  | { readonly kind: 'loses'; readonly against: Lsn; readonly key: string }
  /** It began before what the nodes still know. */
  | { readonly kind: 'too-old' }
  /** Its writer is gone, and it cannot have been acknowledged. */
  | { readonly kind: 'abandoned' };

export interface Ruling {
  readonly lsn: Lsn;
  readonly outcome: Outcome;
  readonly reason: Reason;
  /** The nodes that had accepted it, of those heard. */
  readonly accepted: readonly NodeId[];
  readonly heard: readonly NodeId[];
}

/** All LSNs of a writer in (after, from) are void, but for those that `commits` names; its new incarnation begins at `from`. */
export interface Closing {
  readonly writer: WriterId;
  readonly after: Lsn;
  readonly from: Lsn;
  readonly commits: readonly Lsn[];
}

export type Decision =
  /** Fills a slot that a former primary left empty. */
  | { readonly kind: 'nothing' }
  | { readonly kind: 'verdict'; readonly asked: Lsn; readonly rulings: readonly Ruling[] }
  /** A writer begins: what it left behind is settled, and it goes on at the ceiling. */
  | {
      readonly kind: 'open';
      readonly incarnation: number;
      readonly closing: Closing;
      readonly rulings: readonly Ruling[];
    }
  | { readonly kind: 'raise' };

export const rulingsOf = (decision: Decision): readonly Ruling[] =>
  decision.kind === 'verdict' || decision.kind === 'open' ? decision.rulings : [];

/** What the decisions up to `slot` come to, apart from transactions. */
export interface Summary {
  readonly slot: number;
  /** Nobody uses an LSN from here on. */
  readonly ceiling: Lsn;
  /** The incarnation of each writer that was ever opened. */
  readonly incarnations: Readonly<Record<WriterId, number>>;
}

export const EMPTY_SUMMARY: Summary = { slot: 0, ceiling: FIRST_LSN, incarnations: {} };

export const summarise = ({ slot, ceiling, incarnations }: Summary, decision: Decision): Summary => {
  const next = slot + 1;
  const raised = lsn(ceiling + RAISE_LSNS);
  switch (decision.kind) {
    case 'nothing':
    case 'verdict':
      return { slot: next, ceiling, incarnations };
    case 'raise':
      return { slot: next, ceiling: raised, incarnations };
    case 'open': {
      const { incarnation, closing } = decision;
      return {
        slot: next,
        ceiling: raised,
        incarnations: { ...incarnations, [closing.writer]: incarnation },
      };
    }
  }
};

/** A decision in its turn, and what all up to it come to. */
export interface Followed {
  readonly decision: Decision;
  readonly summary: Summary;
}

/** Decisions by slot, and which of them are known without a gap. */
export class DecisionLog {
  readonly #chosen = new Map<number, Decision>();
  #summary: Summary = EMPTY_SUMMARY;

  get summary(): Summary {
    return this.#summary;
  }

  has(slot: number): boolean {
    return slot <= this.#summary.slot || this.#chosen.has(slot);
  }

  /** Takes a decision that was chosen; returns what is now next in order. */
  learn(slot: number, decision: Decision): Followed[] {
    if (!this.has(slot)) this.#chosen.set(slot, decision);
    const inOrder: Followed[] = [];
    for (;;) {
      const next = this.#chosen.get(this.#summary.slot + 1);
      if (!next) return inOrder;
      this.#summary = summarise(this.#summary, next);
      inOrder.push({ decision: next, summary: this.#summary });
    }
  }

  /** The decisions after `slot` that are still held. */
  after(slot: number): { slot: number; decision: Decision }[] {
    const result: { slot: number; decision: Decision }[] = [];
    for (const [at, decision] of this.#chosen) if (at > slot) result.push({ slot: at, decision });
    return result;
  }

  /** Forgets the decisions up to `slot`: everybody has them. */
  forget(slot: number): void {
    for (const at of this.#chosen.keys())
      if (at <= Math.min(slot, this.#summary.slot)) this.#chosen.delete(at);
  }

  /** Starts from what a snapshot says. */
  static from(summary: Summary, chosen: readonly { slot: number; decision: Decision }[]): DecisionLog {
    const log = new DecisionLog();
    log.#summary = summary;
    for (const { slot, decision } of chosen) log.#chosen.set(slot, decision);
    return log;
  }
}

/** Is `at` void by a closing? */
export const isVoid = ({ writer, after, from, commits }: Closing, at: Lsn): boolean =>
  writerOf(at) === writer && at > after && at < from && !commits.includes(at);
