/**
 * The protocol of several writers: pure state machines, which take a message or a tick and return what to write, to send, to do.
 * The model in test/multiwriter/ runs them under hostile schedules; the processes run the same.
 */
export {
  Adjudicator,
  type AdjudicatorEvent,
  type AdjudicatorOutput,
  type AdjudicatorSend,
} from './adjudicator.js';
export type { Decision, Outcome, Reason, Ruling } from './decision.js';
export { Asked, frontierOf } from './frontier.js';
export { factOf, facts, lsnOf } from './messages.js';
export type * from './messages.js';
export {
  labelOf,
  lsn,
  LsnAllocator,
  NO_LSN,
  type Lsn,
  type WriterId,
  WRITER_SLOTS,
  writerOf,
} from './lsn.js';
export { isHearsay, StorageNode, type NodeOutput, type NodeSend } from './node.js';
export type { NodeRecord } from './node-state.js';
export { POLICIES, type Policy } from './policy.js';
export {
  commonKey,
  conflict,
  type KeyMode,
  type KeyUse,
  MAX_PROPOSAL_BYTES,
  TOO_LARGE_HINT,
  type Proposal,
  proposerOf,
} from './proposal.js';
export { DEFAULT_QUORUMS, type Quorums, quorumsFor, whyUnsafe } from './quorums.js';
export { RULES, type Rules } from './rules.js';
export { at, highest, includes, isWithin, lowest, type Vector } from './vector.js';
export { type Effect, type Submission, Writer, type WriterOutput, type WriterSend } from './writer.js';
