/**
 * The SQL side of a writer: what is installed in its engine, and what is said to it.
 *
 *   client's session   closing → Told → readWriteSet … certified                   (transaction.ts, told.ts, write-set.ts)
 *   our connections    install, Applier, reached, compact, checksums, blockers
 */
export { Applier } from './apply.js';
export type { Entry, LeftOut } from './apply-alone.js';
export { ApplyDiverged, failedIn, isLost } from './apply-failures.js';
export type { Blocker, OnBlocked } from './blockers.js';
export { checksums, type TableChecksum } from './checksums.js';
export { type Ask, inTurn } from './in-turn.js';
export { install, renew, type Installation } from './install.js';
export { claimed, compact, divergence, markDiverged, reached } from './markers.js';
export { readPosition } from './position.js';
export { openTransactions, type OpenRow, type OpenTransactions, type TransactionName } from './open.js';
export {
  type Call,
  type Calls,
  certified,
  closing,
  firingAgain,
  hasFiredAgain,
  ISOLATION_QUERY,
  readCalls,
  readPriority,
  reassigned,
  type Request,
  SETTLE_QUERY,
  unused,
  WRITE_SET_QUERY,
} from './transaction.js';
export { isTold, type Notice, Told } from './told.js';
export {
  readPayload,
  readWriteSet,
  SCHEMA_KEY,
  type Change,
  type Ddl,
  type Roles,
  type WriteSet,
  type WriteSetRow,
} from './write-set.js';
