/**
 * The judgements that the safety of the protocol rests on, each in one place. The state machines are given them, so that the model's
 * tests can break one at a time and see that the invariants notice.
 */
import type { Accepted, Epoch, Seal } from './messages.js';
import type { Outcome, Summary } from './decision.js';
import type { Lsn } from './lsn.js';
import { conflict, type Proposal, proposerOf } from './proposal.js';
import { possiblyChosen, type Quorums } from './quorums.js';
import { at, type Vector, writers } from './vector.js';

/** What a node holds of a transaction that is not decided. */
export interface Undecided {
  readonly proposal: Proposal;
  readonly accepted: boolean;
  readonly sealed: boolean;
}

export interface Rules {
  /** Do two transactions exclude each other? */
  readonly excludes: (a: Proposal, b: Proposal) => boolean;
  /**
   * Does an undecided transaction keep others off its keys? Every one does. One that was only sealed, too: else a newcomer could
   * reach the fast quorum beside the one that the primary is about to commit.
   */
  readonly keepsKeys: (undecided: Undecided) => boolean;
  /** Must a node that promised `promised` turn away `epoch`? */
  readonly isOutranked: (epoch: Epoch, promised: Epoch) => boolean;
  /** Must a node with the decisions up to `slot` leave this question unanswered? Else it may not know what was decided already. */
  readonly isTooFarBehind: (slot: number, seal: Seal) => boolean;
  /** May a transaction, accepted by so many of those heard, have been acknowledged by its writer? */
  readonly possiblyChosen: (accepted: number, heard: number, quorums: Quorums) => boolean;
  /** May a client have been told that this commits, as far as the node that holds it knows? Then a read that misses nothing waits for it. */
  readonly mayBeAcknowledged: (
    held: Pick<Undecided, 'accepted'> & { readonly outcome: Outcome | null },
  ) => boolean;
  /** Has the primary heard of everybody who is involved? Rivals of rivals join until nobody new does. */
  readonly isComplete: (newcomers: number) => boolean;
  /** What a new primary has to propose for a slot in which these were accepted. */
  readonly inherits: (accepted: readonly Accepted[]) => Accepted | null;
  /** Is this incarnation's time over, for a node that knows of `fence`? What it proposed and nobody saw was declared void. */
  readonly isFenced: (incarnation: number, fence: number) => boolean;
  /** Where a writer's new incarnation begins: above whatever the former one can have used. */
  readonly beginsAt: (summary: Summary) => Lsn;
  /** May a transaction be applied where so much is? Not before what it had seen. */
  readonly mayApply: (proposal: Proposal, reached: Vector) => boolean;
}

export const RULES: Rules = {
  excludes: conflict,
  keepsKeys: () => true,
  isOutranked: (epoch, promised) => epoch < promised,
  isTooFarBehind: (slot, seal) => slot < seal.slot,
  possiblyChosen,
  mayBeAcknowledged: ({ accepted, outcome }) => outcome === 'commit' || (accepted && outcome === null),
  isComplete: (newcomers) => newcomers === 0,
  inherits: (accepted) =>
    accepted.reduce<Accepted | null>((best, one) => (best && best.epoch >= one.epoch ? best : one), null),
  isFenced: (incarnation, fence) => incarnation < fence,
  beginsAt: ({ ceiling }) => ceiling,
  mayApply: (proposal, reached) =>
    writers(proposal.base).every(
      (writer) => writer === proposerOf(proposal) || at(proposal.base, writer) <= at(reached, writer),
    ),
};
