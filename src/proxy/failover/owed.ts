/**
 * What a client whose engine died is owed: an answer to everything that it has asked. Honest about the outcome: 40001 for what
 * was surely not committed, 08007 where a COMMIT, or a statement that commits by itself, was on its way.
 *
 *   asked               in a transaction, no COMMIT sent     otherwise
 *   Query, Sync …       40001, then as in a failed           08007, ReadyForQuery I, for each of them
 *                       transaction until ROLLBACK
 *   a batch, no Sync    the same, and everything up to its Sync is skipped (manual 54.2.3)
 *   nothing             40001 at the next request            nothing (no transaction)
 */
import { DbproxyError } from '../../errors/index.js';
import {
  Frontend,
  MAX_LARGE_MESSAGE_BYTES,
  MessageReader,
  encode,
  type ErrorFields,
} from '../../protocol/index.js';
import { canceledError } from '../canceled-transaction.js';
import type { Standing } from '../relay.js';

export interface Owed {
  /** To be sent once the session has an engine again. */
  readonly answers: Buffer;
  /** The client is in a transaction that has failed: the engine has to be in one. */
  readonly failed: boolean;
  /** It does not know yet: its next request is answered with 40001. */
  readonly toTell: boolean;
  /** What it sends up to the next Sync belongs to a batch that has failed. */
  readonly skipsToSync: boolean;
}

/** `operation`: `failover-1: engine e1 died`. */
export const owedTo = (standing: Standing, operation: string): Owed => {
  const { pending, batchOpen, status, mayHaveCommitted } = standing;
  const asks = pending > 0 || batchOpen;
  const failed = status !== 'I' && !(asks && mayHaveCommitted && status === 'T');
  const isUnknown = status === 'I' || (status === 'T' && mayHaveCommitted);
  const error = encode.errorResponse(isUnknown ? unknownOutcome(operation) : canceledError(operation));
  const ready = encode.readyForQuery(failed ? 'E' : 'I');
  const one = Buffer.concat([error, ready]);
  return {
    answers: Buffer.concat([...Array.from({ length: pending }, () => one), ...(batchOpen ? [error] : [])]),
    failed,
    toTell: status === 'T' && !asks,
    skipsToSync: batchOpen,
  };
};

const unknownOutcome = (operation: string): ErrorFields => {
  const { sqlstate = '08007', message } = new DbproxyError('DBP_WIRE_OUTCOME_UNKNOWN', { operation });
  return { severity: 'ERROR', sqlstate, message };
};

/** The client's bytes after the Sync that ends a failed batch; null: it has not come yet. What came before is dropped. */
export class SkipToSync {
  readonly #reader = new MessageReader(MAX_LARGE_MESSAGE_BYTES);

  /** Throws ProtocolViolation. */
  push(bytes: Buffer): Buffer | null {
    this.#reader.push(bytes);
    for (let message = this.#reader.next(); message; message = this.#reader.next())
      if (message.type === Frontend.Sync) return this.#reader.takeRest();
    return null;
  }
}
