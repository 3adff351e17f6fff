/**
 * What an error means for the transaction that met it: certainly not committed, or unknown; and whether its connection
 * is gone, or what the session had.
 */

/** SQLSTATE for a connection that ended without a word (appendix A: connection_failure). */
export const CONNECTION_LOST = '08006';
/** transaction_resolution_unknown and statement_completion_unknown: somebody on the way says that they do not know. */
const UNKNOWN_OUTCOME: ReadonlySet<string> = new Set(['08007', '40003']);
/** serialization_failure and deadlock_detected: the transaction is rolled back and can simply be tried again. */
const RETRYABLE: ReadonlySet<string> = new Set(['40001', '40P01']);

export interface CallError {
  readonly sqlstate: string;
  /** The connection is gone, or the server has said that it goes (FATAL). */
  readonly lost: boolean;
  readonly outcome: 'failed' | 'unknown';
  readonly retryable: boolean;
  readonly message: string;
}

/** In the place of a SQLSTATE, for a session that no longer has what it had: the database said nothing of it. */
export const STATE_LOST = 'state-lost';

/** A probe found its session's state gone, or changed. */
export class StateLost extends Error {}

/** `thrown`: what the driver reports. `committing`: the statement that commits was in flight. */
export function classify(thrown: unknown, committing: boolean): CallError {
  if (thrown instanceof StateLost) {
    const { message } = thrown;
    return { sqlstate: STATE_LOST, lost: false, outcome: 'failed', retryable: false, message };
  }
  const { code, severity, message } = thrown as { code?: unknown; severity?: unknown; message?: unknown };
  // Only an ErrorResponse has a severity; errors of the socket have codes of their own (ECONNRESET).
  const answered = typeof severity === 'string' && typeof code === 'string';
  const sqlstate = answered ? code : CONNECTION_LOST;
  const lost = !answered || severity === 'FATAL' || severity === 'PANIC';
  const unknown = UNKNOWN_OUTCOME.has(sqlstate) || (committing && lost);
  return {
    sqlstate,
    lost,
    outcome: unknown ? 'unknown' : 'failed',
    retryable: !unknown && !lost && RETRYABLE.has(sqlstate),
    message: typeof message === 'string' ? message : String(thrown),
  };
}
