/** Who goes first, among those that nobody can have acknowledged yet. Never the primary's own, as such. */
import type { Proposal } from './proposal.js';

export const POLICIES = ['first', 'retries', 'priority'] as const;
export type Policy = (typeof POLICIES)[number];

export interface Candidate {
  readonly proposal: Proposal;
  readonly votes: number;
}

/** Negative: `a` goes first. Total, so that every primary comes to the same order. */
export const compare = (policy: Policy, a: Candidate, b: Candidate): number => {
  for (const criterion of criteria[policy]) {
    const difference = criterion(b) - criterion(a);
    if (difference !== 0) return difference;
  }
  return 0;
};

type Criterion = (candidate: Candidate) => number;
const votes: Criterion = ({ votes: count }) => count;
const retries: Criterion = ({ proposal }) => proposal.retries;
const priority: Criterion = ({ proposal }) => proposal.priority;
const lowestLsn: Criterion = ({ proposal }) => -Number(proposal.lsn);

const criteria: Readonly<Record<Policy, readonly Criterion[]>> = {
  first: [votes, retries, lowestLsn],
  retries: [retries, votes, lowestLsn],
  priority: [priority, votes, retries, lowestLsn],
};
