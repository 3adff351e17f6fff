/**
 * What became of a transaction that its client has lost sight of (`dbproxy.txn_status`, engine/sql/outcomes.ts).
 *
 * Each writer says which of its transactions are not over, and how far those go that it has committed. Once all of that is in this
 * engine, a name that is neither there nor among those that are not over belongs to a transaction that will never commit: so does that of
 * a former incarnation, all of whose transactions are settled before the next one opens.
 */
import type { Lsn, Vector, WriterId } from '../protocol/index.js';
import { whenAborted } from './reads.js';
import { CANCELED } from './refusal.js';
import type { RefusedCommit } from './transaction.js';

export interface TransactionFacts {
  readonly writer: WriterId;
  readonly incarnation: number;
  /** Its engine's clock, µs since 1970: of what began later nothing is said. */
  readonly at: number;
  /** Names of those that its engine has begun and not ended, or that were proposed. */
  readonly open: readonly string[];
  /** Of its own stream: what it has committed goes no further. */
  readonly upTo: Lsn;
}

export interface OutcomesHost {
  /** So long it is waited for, ms. */
  readonly waitMs: number;
  /** Of all writers; null of one that does not answer or is not open. */
  ask(): Promise<readonly (TransactionFacts | null)[]>;
  /** Is it in the engine? Throws when it never will be. */
  hasApplied(upTo: Vector): boolean;
  change(): Promise<void>;
}

/**
 * For dbproxy.txn_facts: JSON by writer, without those of whom not everything is here. Aborted before: what its client is told.
 * Throws DBP_WRITER_STOPPED.
 */
export async function gatherFacts(host: OutcomesHost, signal: AbortSignal): Promise<string | RefusedCommit> {
  const facts: Record<WriterId, Omit<TransactionFacts, 'writer' | 'upTo'>> = {};
  const end = performance.now() + host.waitMs;
  const aborted = whenAborted(signal);
  const answers = await Promise.race([host.ask(), aborted]);
  for (const answer of answers ?? []) {
    if (!answer) continue;
    const { writer, upTo, ...fact } = answer;
    while (!host.hasApplied({ [writer]: upTo }) && performance.now() < end && !signal.aborted)
      await Promise.race([host.change(), aborted]);
    if (host.hasApplied({ [writer]: upTo })) facts[writer] = fact;
  }
  return signal.aborted ? CANCELED : JSON.stringify(facts);
}
