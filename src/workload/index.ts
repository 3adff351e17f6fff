/**
 * Load on a database and what it saw: pgbench's scripts and yours, probes of session state, closed or open loop, latencies
 * from the intended start, stalls around switches, and a ledger that proves that nothing was lost.
 *
 *   initialiseWorkload → runWorkload (here) or startWorkloadProcess (in a process of its own) → WorkloadResult
 */
export { runWorkload } from './runner.js';
export { MAX_SCHEDULE_LAG_MS } from './result.js';
export {
  initialiseWorkload,
  type InitialiseOptions,
  type InitialiseProgress,
  type InitialiseResult,
} from './initialise.js';
export {
  checkLedger,
  readLedger,
  EMPTY_LEDGER,
  type LedgerClaim,
  type LedgerSums,
  type LedgerVerdict,
} from './ledger.js';
export { findWorks, listWorkloads, type WorkloadListing } from './catalogue.js';
export { type LatencySummary } from './histogram.js';
export * from './types.js';
export { startWorkloadProcess, type WorkloadProcess } from './process.js';
