/**
 * What to do with an operation that is on record but that nobody runs any more. Decided from what runs; the record only
 * says where to look. No side effects here: `settle-operation.ts` acts on the verdict.
 *
 *   the proxy has committed, or serves the target, or the target has left recovery     → forward
 *   the target is a standby and the proxy has not committed                            → roll back
 *   the target is dead, and it may have been promoted before it died                   → look: start it and ask again
 */
import type { EngineHealth } from '../engine/types.js';
import type { ProxyStatus } from '../proxy/control-api.js';
import type { OperationRecord } from './records.js';

export type Verdict = 'forward' | 'roll-back' | 'look';

export interface OperationFacts {
  readonly operation: Pick<OperationRecord, 'step' | 'target'>;
  /** Id of the primary on record. */
  readonly recordedPrimary: string | null;
  /** Null: the target is not there, or not known to be more than a half-made directory. */
  readonly target: EngineHealth | null;
  /** Null: no proxy runs. */
  readonly proxy: Pick<ProxyStatus, 'gate' | 'primary'> | null;
}

/** Steps in which nothing can have been committed yet. */
const BEFORE_ANY_HOLD: readonly string[] = ['provision', 'warm'];

export function judge({ operation, recordedPrimary, target, proxy }: OperationFacts): Verdict {
  if (recordedPrimary === operation.target) return 'forward';
  if (!target) return 'roll-back';
  if (proxy && (proxy.gate === 'committed' || proxy.gate === 'moving')) return 'forward';
  if (proxy?.primary?.id === operation.target) return 'forward';
  if (target.state === 'running') return target.inRecovery ? 'roll-back' : 'forward';
  // Steps that are done while clients are held are written without waiting for the disk: from `drain` on, the record
  // cannot tell whether the promotion happened. The target's own data can.
  return BEFORE_ANY_HOLD.includes(operation.step) ? 'roll-back' : 'look';
}
