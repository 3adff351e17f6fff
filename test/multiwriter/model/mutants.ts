/** The protocol with one thing wrong each: the model has to notice every one, or it would not notice a real one either. */
import { FIRST_LSN } from '../../../src/multiwriter/protocol/lsn.js';
import { RULES, type Rules } from '../../../src/multiwriter/protocol/index.js';
import type { NodeRecord } from '../../../src/multiwriter/protocol/index.js';
import type { Invariant } from './invariants.js';
import type { WorldOptions } from './world.js';

export interface Mutant {
  readonly name: string;
  readonly options: Partial<WorldOptions>;
  /** What it may break: the first invariant that notices differs from run to run. */
  readonly breaks: readonly Invariant[];
}

const rule = (wrong: Partial<Rules>): Partial<WorldOptions> => ({ rules: { ...RULES, ...wrong } });
const loses = (kind: NodeRecord['kind']): Partial<WorldOptions> => ({
  survives: (record) => record.kind !== kind,
});

const SAFETY: readonly Invariant[] = [
  'decided is never undone',
  'one winner per key version',
  'an acknowledged commit is never lost',
  'a global read waits for what was acknowledged',
  'one decision per slot',
  'one primary per epoch',
  'a promised epoch holds',
  'one order on all writers',
  'applied exactly once',
  'LSN ranges never overlap',
  'LSN order extends causal order',
];

/** Votes arrive late, and so does what became of them. */
const FORGETFUL: Partial<WorldOptions> = {
  keys: 1,
  policy: 'retries',
  slow: ['facts to node', 'committed to node', 'propose to node'],
  faults: { crashNode: 0, crashWriter: 0, lead: 0 },
};
/** Nodes come and go, and decisions get about slowly. */
const RESTLESS: Partial<WorldOptions> = {
  keys: 1,
  slow: ['facts to node', 'committed to node'],
  faults: { crashNode: 20, crashWriter: 0, lead: 10 },
};
/** What was decided gets about slowly. */
const UNTOLD: Partial<WorldOptions> = {
  keys: 1,
  policy: 'retries',
  slow: ['facts to node', 'committed to node'],
  faults: { crashNode: 0, crashWriter: 0, lead: 0 },
};
/** Primaries follow each other. */
const RIVALRY: Partial<WorldOptions> = {
  quorums: { nodes: 3, fast: 3, classic: 2 },
  keys: 2,
  slow: ['facts to node', 'committed to node', 'node 0'],
  faults: { lose: 40, crashNode: 0, crashWriter: 0, lead: 10 },
};
/** Writers are restarted, and their proposals arrive later than they. */
const HAUNTED: Partial<WorldOptions> = {
  keys: 2,
  slow: ['propose to node', 'facts to node', 'committed to node', 'facts to writer'],
  faults: { crashNode: 0, crashWriter: 10, lead: 2 },
};

export const MUTANTS: readonly Mutant[] = [
  { name: 'unsafe quorums: 3/2/2', options: { quorums: { nodes: 3, fast: 2, classic: 2 } }, breaks: SAFETY },
  { name: 'unsafe quorums: 6/4/3', options: { quorums: { nodes: 6, fast: 4, classic: 3 } }, breaks: SAFETY },
  { name: 'unsafe quorums: 6/4/4', options: { quorums: { nodes: 6, fast: 4, classic: 4 } }, breaks: SAFETY },
  {
    name: 'a sealed transaction does not keep its keys',
    options: { ...rule({ keepsKeys: ({ accepted }) => accepted }), ...FORGETFUL },
    breaks: SAFETY,
  },
  { name: 'conflicts are not looked for', options: rule({ excludes: () => false }), breaks: SAFETY },
  { name: 'votes are not on disk', options: { ...loses('vote'), ...RESTLESS }, breaks: SAFETY },
  {
    name: 'seals are not on disk',
    options: { ...loses('seal'), ...RESTLESS },
    breaks: [...SAFETY, 'comes to rest'],
  },
  { name: 'promises are not on disk', options: { ...loses('promise'), ...RESTLESS }, breaks: SAFETY },
  {
    name: 'accepted decisions are not on disk',
    options: { ...loses('accept'), ...RESTLESS },
    breaks: SAFETY,
  },
  { name: 'an old epoch is not turned away', options: rule({ isOutranked: () => false }), breaks: SAFETY },
  { name: 'two primaries of one epoch', options: { epochOf: (n) => Math.ceil(n / 2) }, breaks: SAFETY },
  {
    name: 'a node that is behind answers',
    options: { ...rule({ isTooFarBehind: () => false }), ...UNTOLD },
    breaks: SAFETY,
  },
  {
    name: 'what may have been acknowledged is free',
    options: { ...rule({ possiblyChosen: () => false }), ...FORGETFUL },
    breaks: SAFETY,
  },
  {
    name: 'only what all those heard accepted may have been acknowledged',
    options: { ...rule({ possiblyChosen: (accepted, heard) => accepted === heard }), ...FORGETFUL },
    breaks: SAFETY,
  },
  {
    name: 'rivals of the first round do not join',
    options: rule({ isComplete: () => true }),
    breaks: SAFETY,
  },
  {
    name: 'a new primary begins with an empty log',
    options: { ...rule({ inherits: () => null }), ...RIVALRY },
    breaks: SAFETY,
  },
  {
    name: 'a new incarnation uses the old range',
    options: { ...rule({ beginsAt: () => FIRST_LSN }), ...HAUNTED },
    breaks: [...SAFETY, 'comes to rest'],
  },
  {
    name: 'a survey counts only what is decided',
    options: rule({ mayBeAcknowledged: ({ outcome }) => outcome === 'commit' }),
    breaks: ['a global read waits for what was acknowledged'],
  },
  {
    name: 'a survey counts only what the node itself accepted',
    options: { ...rule({ mayBeAcknowledged: ({ accepted }) => accepted }), ...UNTOLD },
    breaks: ['a global read waits for what was acknowledged'],
  },
  {
    name: 'applied without what it had seen',
    options: { ...rule({ mayApply: () => true }) },
    breaks: SAFETY,
  },
];
