/**
 * Session state: what a session of PostgreSQL is besides its socket, how it is read and how it is re-created
 * (session-state.md). One file per kind; kinds.ts is the ordered list, look.ts reads, replay.ts re-creates.
 */
export { emptyState, kindNames, type KindName, type SessionState } from './kinds.js';
export { replayAhead, servesAsWell } from './ahead.js';
export { confirmed, isOnlyConfirmed, isToldByMark, readTempMarks, type TempMarks } from './temp-marks.js';
export { warmUp } from './warm-up.js';
export { look } from './look.js';
export { replay, restoreUnnamed, type Replayed } from './replay.js';
export {
  NOTHING_MOVED,
  addMoved,
  burden,
  estimate,
  hasContents,
  isShared,
  losses,
  othersCanChange,
  report,
  stateKinds,
  unmovable,
  type KindReport,
} from './report.js';
export { inventory, type HeldItem } from './inventory.js';
export { splitStatements, stripLeadingComments } from './sql-statements.js';
export { isLeftOut } from './without-replay.js';
export { CommitWitness } from './commit-witness.js';
export { SessionTracker, type TrackerImage } from './tracker.js';
export { OF_A_TRANSACTION } from './settings.js';
export { SettingNames } from './setting-names.js';
export {
  DEFAULT_LIMITS,
  arrayLiteral,
  literal,
  type MoveLimits,
  type ReadContext,
  type StateMoved,
} from './kind.js';
export type { Column, Reply, ReplyError, Rows, StateChannel } from './channel.js';
