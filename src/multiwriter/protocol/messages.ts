/**
 * What storage nodes, writers and the primary say to each other. Any of it may be lost, doubled, late or out of order; all of it is
 * plain JSON.
 *
 *   writer  ── propose ─────────────▶ node     vote
 *   writer  ── committed ───────────▶ node     (the fast quorum has accepted it; for nodes that have its rows)
 *   anybody ── facts ───────────────▶ anybody  (what is decided, is decided: to hear it twice does no harm)
 *   anybody ── fetch ───────────────▶ node     facts
 *   writer  ── survey ──────────────▶ node     frontier
 *   primary ── prepare/seal/decide ─▶ node     promise/sealed/accepted, or outranked
 *   writer, node ── adjudicate/open/raise ─▶ primary
 */
import type { Decision, Outcome, Summary } from './decision.js';
import type { Lsn, WriterId } from './lsn.js';
import type { Proposal } from './proposal.js';
import type { Vector } from './vector.js';

export type NodeId = string;
/** Number of a primary's term; higher outranks lower, and no two primaries ever have the same. */
export type Epoch = number;

/** An outcome, and what a reader needs to go on behind it: the rows of a commit, the place of an abort. */
export type Fact =
  | { readonly outcome: 'commit'; readonly proposal: Proposal }
  | { readonly outcome: 'abort'; readonly lsn: Lsn; readonly previous: Lsn };

export interface Chosen {
  readonly slot: number;
  readonly decision: Decision;
}

export type Facts = {
  readonly kind: 'facts';
  readonly facts: readonly Fact[];
  readonly decisions: readonly Chosen[];
  /** Up to here nobody needs anything any more; it is no longer held. */
  readonly truncated: Vector;
};

export type Fetch = {
  readonly kind: 'fetch';
  /** Known without a gap. */
  readonly after: Vector;
  readonly slot: number;
};

// --- to a node -------------------------------------------------------------------------------------------------------
export type Propose = { readonly kind: 'propose'; readonly proposal: Proposal };
/** The fast quorum has accepted it. Short for its fact: a node that has not got the proposal hears of it from its peers. */
export type Committed = { readonly kind: 'committed'; readonly lsn: Lsn };
export type Prepare = { readonly kind: 'prepare'; readonly epoch: Epoch };
export type Seal = {
  readonly kind: 'seal';
  readonly epoch: Epoch;
  readonly round: number;
  /** The primary knows the decisions up to here; a node that does not must not answer. */
  readonly slot: number;
  readonly proposals: readonly Proposal[];
  /** A writer begins anew: whatever its former incarnations proposed is to be settled. */
  readonly fence: { readonly writer: WriterId; readonly incarnation: number } | null;
};
export type Decide = {
  readonly kind: 'decide';
  readonly epoch: Epoch;
  readonly slot: number;
  readonly decision: Decision;
};
/** No transaction of this writer will ever have a base below it. */
export type Horizon = {
  readonly kind: 'horizon';
  readonly writer: WriterId;
  readonly vector: Vector;
  /** All that there are or will be: one that has not been opened yet may lack everything that is known. */
  readonly writers: readonly WriterId[];
};

/** How far may commits have been acknowledged? `number`: for whoever asks, to know the answer by. */
export type Survey = { readonly kind: 'survey'; readonly number: number };

export type ToNode = Propose | Committed | Facts | Fetch | Prepare | Seal | Decide | Horizon | Survey;

// --- from a node -----------------------------------------------------------------------------------------------------
export type Refusal =
  /** Another transaction holds a key, or has changed it since the base. */
  | { readonly kind: 'conflict'; readonly against: Lsn; readonly key: string }
  /** The primary has it. */
  | { readonly kind: 'sealed' }
  /** A newer incarnation of the writer exists, or the range is not its. */
  | { readonly kind: 'fenced' }
  /** The node has not yet heard of this incarnation, or is catching up. */
  | { readonly kind: 'behind' }
  /** The base is older than what is still known. */
  | { readonly kind: 'too-old' }
  /** What keeps the log takes nothing from this writer: no room, no right to. */
  | { readonly kind: 'not-taken'; readonly why: string }
  /** The node cannot write. */
  | { readonly kind: 'out-of-service'; readonly why: string };

export type Vote = {
  readonly kind: 'vote';
  readonly node: NodeId;
  readonly lsn: Lsn;
  readonly refusal: Refusal | null;
};
export type Accepted = { readonly slot: number; readonly epoch: Epoch; readonly decision: Decision };
export type Promise = {
  readonly kind: 'promise';
  readonly node: NodeId;
  readonly epoch: Epoch;
  readonly summary: Summary;
  /** Slots above the summary's, chosen or only accepted. */
  readonly open: readonly Accepted[];
};
export interface Standing {
  readonly proposal: Proposal;
  readonly accepted: boolean;
  /** `forgotten`: it is decided, everybody has it, and the node no longer holds it. */
  readonly outcome: Outcome | 'forgotten' | null;
}
export type Sealed = {
  readonly kind: 'sealed';
  readonly node: NodeId;
  readonly epoch: Epoch;
  readonly round: number;
  /** Of everything asked for, and of every undecided rival of it. */
  readonly standings: readonly Standing[];
  /** Committed transactions that exclude one that was asked for. */
  readonly blocked: readonly { readonly lsn: Lsn; readonly against: Lsn; readonly key: string }[];
  /** Their base does not include what is no longer held: nobody can tell any more whether they collide. */
  readonly tooOld: readonly Lsn[];
  /** With a fence: how far the writer's stream is decided here without a gap. */
  readonly reached: Lsn;
  /** With a fence: its committed transactions above that. */
  readonly commits: readonly Lsn[];
};
export type DecisionAccepted = {
  readonly kind: 'decision-accepted';
  readonly node: NodeId;
  readonly epoch: Epoch;
  readonly slot: number;
};
/** The node follows a higher epoch. */
export type Outranked = { readonly kind: 'outranked'; readonly node: NodeId; readonly epoch: Epoch };

export type Frontier = {
  readonly kind: 'frontier';
  readonly node: NodeId;
  readonly number: number;
  /** Of each writer the highest LSN that may have been acknowledged; see frontier.ts. */
  readonly frontier: Vector;
};

export type FromNode = Vote | Facts | Promise | Sealed | DecisionAccepted | Outranked | Frontier;

// --- to the primary --------------------------------------------------------------------------------------------------
export type Adjudicate = { readonly kind: 'adjudicate'; readonly proposal: Proposal };
/** A writer begins. Incarnations are counted by whoever starts it: a repeated request is known by its number. */
export type Open = { readonly kind: 'open'; readonly writer: WriterId; readonly incarnation: number };
/** The LSNs below this ceiling run low. */
export type Raise = { readonly kind: 'raise'; readonly ceiling: Lsn };

export type ToPrimary = Adjudicate | Open | Raise | Promise | Sealed | DecisionAccepted | Outranked;

/** What a writer listens to. */
export type ToWriter = Vote | Facts;

export const factOf = (proposal: Proposal, outcome: Outcome): Fact =>
  outcome === 'commit' ? { outcome, proposal } : { outcome, lsn: proposal.lsn, previous: proposal.previous };
export const lsnOf = (fact: Fact): Lsn => (fact.outcome === 'commit' ? fact.proposal.lsn : fact.lsn);
export const previousOf = (fact: Fact): Lsn =>
  fact.outcome === 'commit' ? fact.proposal.previous : fact.previous;

export const facts = (
  list: readonly Fact[],
  decisions: readonly Chosen[] = [],
  truncated: Vector = {},
): Facts => ({
  kind: 'facts',
  facts: list,
  decisions,
  truncated,
});
