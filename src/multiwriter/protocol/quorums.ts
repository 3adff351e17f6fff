/**
 * Quorum sizes, and which of them are safe.
 *
 * With N nodes, a fast quorum Qf of votes commits without asking anybody; the primary decides after Qc answers. Simple majorities
 * for both would lose acknowledged commits: what Qf nodes accepted could look like a minority to the Qc the primary hears from.
 */

export interface Quorums {
  readonly nodes: number;
  /** Votes that commit a proposal. */
  readonly fast: number;
  /** Nodes whose answers the primary needs: to seal, to decide, to begin an epoch. */
  readonly classic: number;
}

/** Unanimous, or ask the primary, who goes on with one node down. */
export const DEFAULT_QUORUMS: Quorums = { nodes: 3, fast: 3, classic: 2 };

/** Why these sizes can lose an acknowledged commit; null when they cannot. */
export const whyUnsafe = ({ nodes, fast, classic }: Quorums): string | null => {
  if (![nodes, fast, classic].every((size) => Number.isInteger(size) && size >= 1))
    return 'sizes are whole numbers from 1';
  if (fast > nodes || classic > nodes) return `a quorum is larger than the ${nodes} nodes`;
  if (fast + classic <= nodes)
    return 'Qf + Qc > N does not hold: the primary may not hear of a vote that counted';
  if (2 * classic <= nodes) return '2·Qc > N does not hold: two primaries may decide the same slot';
  if (2 * fast + classic <= 2 * nodes)
    return '2·Qf + Qc > 2·N does not hold: two rivals may both look as if they had been chosen';
  return null;
};

/** For each number of nodes: as many may be down as can be, and the fast quorum is as small as that leaves it. */
export const quorumsFor = (nodes: number): Quorums => {
  const classic = Math.floor(nodes / 2) + 1;
  const fast = Math.floor((2 * nodes - classic) / 2) + 1;
  return { nodes, fast, classic };
};

/**
 * Of `heard` nodes that have stopped voting for a proposal, `accepted` had accepted it: may it have reached the fast quorum? Then the
 * nodes not heard could all have accepted it.
 */
export const possiblyChosen = (accepted: number, heard: number, { nodes, fast }: Quorums): boolean =>
  accepted >= fast + heard - nodes;
