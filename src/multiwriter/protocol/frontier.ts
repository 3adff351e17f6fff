/**
 * How far the writers may have acknowledged commits: what a read that must miss nothing asks Qc nodes for.
 *
 * A client was told that a transaction commits when Qf nodes had accepted it, or Qc nodes the decision that says so. Whoever hears of
 * Qc nodes hears of one that has it on disk (Qf + Qc > N, 2·Qc > N), and keeps it there until every writer has it. So the highest of
 * Qc frontiers, all given after the question, is at or above whatever was acknowledged before it. It may be above: what it names may
 * still be decided to abort.
 */
import { rulingsOf } from './decision.js';
import { type Lsn, writerOf } from './lsn.js';
import type { Frontier, NodeId, Survey } from './messages.js';
import type { NodeState } from './node-state.js';
import type { Quorums } from './quorums.js';
import type { Rules } from './rules.js';
import { highest, includes, type Vector } from './vector.js';

/** Of each writer the highest LSN that may have been acknowledged, as far as this node knows. */
export const frontierOf = (
  state: Pick<NodeState, 'truncated' | 'entries' | 'openSlots'>,
  rules: Pick<Rules, 'mayBeAcknowledged'>,
): Vector => {
  const frontier: Record<number, Lsn> = { ...state.truncated };
  const add = (lsn: Lsn): void => {
    if (!includes(frontier, lsn)) frontier[writerOf(lsn)] = lsn;
  };
  for (const [lsn, entry] of state.entries) if (rules.mayBeAcknowledged(entry)) add(lsn);
  for (const { decision } of state.openSlots)
    for (const { lsn, outcome } of rulingsOf(decision)) if (outcome === 'commit') add(lsn);
  return frontier;
};

/** One question to all nodes, and what they answer. */
export class Asked {
  readonly message: Survey;
  readonly #needed: number;
  readonly #answers = new Map<NodeId, Vector>();

  /** `number`: of this question, among all that its asker ever asked. */
  constructor(number: number, { classic }: Quorums) {
    this.message = { kind: 'survey', number };
    this.#needed = classic;
  }

  hear({ node, number, frontier }: Frontier): void {
    if (number === this.message.number) this.#answers.set(node, frontier);
  }

  get answers(): number {
    return this.#answers.size;
  }

  /** Null: too few have answered. */
  get frontier(): Vector | null {
    return this.#answers.size < this.#needed ? null : [...this.#answers.values()].reduce(highest, {});
  }
}
