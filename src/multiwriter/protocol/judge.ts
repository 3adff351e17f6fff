/**
 * The primary's judgement about transactions that exclude each other, from the answers of a quorum of sealed nodes:
 * what is committed stays; what may have been acknowledged commits; of the others those whom the policy puts first.
 */
import type { Ruling } from './decision.js';
import type { Lsn, WriterId } from './lsn.js';
import type { NodeId, Sealed, Standing } from './messages.js';
import { commonKey, type Proposal, proposerOf } from './proposal.js';
import { compare, type Policy } from './policy.js';
import type { Quorums } from './quorums.js';
import type { Rules } from './rules.js';

export interface Judgement {
  readonly quorums: Quorums;
  readonly policy: Policy;
  readonly rules: Rules;
  /** What this writer left undecided is not committed for it, unless it may have been acknowledged. */
  readonly abandonedBy: WriterId | null;
}

interface Case {
  readonly proposal: Proposal;
  readonly accepted: readonly NodeId[];
  readonly outcome: Standing['outcome'];
  /** Not a reason against one that may have been acknowledged: its base was new enough when it was accepted. */
  readonly isTooOld: boolean;
  readonly blocked: { readonly against: Lsn; readonly key: string } | null;
}

export const judge = (
  targets: Iterable<Proposal>,
  replies: readonly Sealed[],
  { quorums, policy, rules, abandonedBy }: Judgement,
): Ruling[] => {
  const heard = replies.map(({ node }) => node);
  const cases = [...targets]
    .map((proposal) => weigh(proposal, replies))
    .filter(({ outcome }) => outcome !== 'forgotten');
  const rulings: Ruling[] = [];
  const committed: Proposal[] = [];
  const rule = ({ proposal, accepted }: Case, verdict: Pick<Ruling, 'outcome' | 'reason'>): void => {
    rulings.push({ lsn: proposal.lsn, ...verdict, accepted, heard });
    if (verdict.outcome === 'commit') committed.push(proposal);
  };

  for (const one of cases) {
    if (one.outcome === 'commit' || one.outcome === 'abort') {
      rule(one, { outcome: one.outcome, reason: { kind: 'known' } });
    }
  }
  const undecided = cases.filter(({ outcome }) => outcome === null);
  const loses = ({ proposal, blocked }: Case): Case['blocked'] => {
    const winner = committed.find((other) => rules.excludes(proposal, other));
    return winner ? { against: winner.lsn, key: commonKey(proposal, winner) ?? '' } : blocked;
  };
  // With some sizes the count alone says "may be" of one whose rival is known to have committed: hence this order.
  const mayBeChosen = undecided.filter(
    (one) => !loses(one) && rules.possiblyChosen(one.accepted.length, heard.length, quorums),
  );
  for (const one of mayBeChosen) rule(one, { outcome: 'commit', reason: { kind: 'possibly-chosen' } });
  const free = undecided
    .filter((one) => !mayBeChosen.includes(one))
    .map((one) => ({ ...one, votes: one.accepted.length }))
    .sort((a, b) => compare(policy, a, b));
  for (const one of free) {
    const lost = loses(one);
    if (lost) rule(one, { outcome: 'abort', reason: { kind: 'loses', ...lost } });
    else if (one.isTooOld) rule(one, { outcome: 'abort', reason: { kind: 'too-old' } });
    else if (proposerOf(one.proposal) === abandonedBy)
      rule(one, { outcome: 'abort', reason: { kind: 'abandoned' } });
    else rule(one, { outcome: 'commit', reason: { kind: 'policy' } });
  }
  return rulings;
};

const weigh = (proposal: Proposal, replies: readonly Sealed[]): Case => {
  const standings = replies.flatMap(({ node, standings: list }) =>
    list.filter((one) => one.proposal.lsn === proposal.lsn).map((standing) => ({ node, standing })),
  );
  const blocked = replies.flatMap((reply) => reply.blocked).find(({ lsn }) => lsn === proposal.lsn);
  return {
    proposal,
    accepted: standings.filter(({ standing }) => standing.accepted).map(({ node }) => node),
    outcome: standings.find(({ standing }) => standing.outcome !== null)?.standing.outcome ?? null,
    isTooOld: replies.some(({ tooOld }) => tooOld.includes(proposal.lsn)),
    blocked: blocked ? { against: blocked.against, key: blocked.key } : null,
  };
};
