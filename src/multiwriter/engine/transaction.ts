/**
 * A client's transaction, as the proxy takes it through its COMMIT. All of it runs in the client's own session, as the client's
 * role, and each of these is one simple query:
 *
 *   first statement   BEGIN_QUERY     what the snapshot holds of every writer, and what names this transaction
 *   COMMIT            closing()       deferred constraints fire; the write-set comes out
 *                     … it is proposed, and accepted …
 *                     certified()     the marker, then COMMIT
 *
 * A client cannot call these in the proxy's stead: each takes a proof, a hash over the engine's secret and this very transaction.
 * That a query of the proxy can be read in pg_stat_activity gives nothing away; its proof is good for no other transaction.
 */
import { createHash } from 'node:crypto';
import { lsn, type Lsn, type Vector } from '../protocol/index.js';

/** One row; see `readBegun`. SERIALIZABLE is refused here (SQLSTATE 0A000, with a hint). */
export const BEGIN_QUERY = 'select dbproxy.begun()';

export interface Begun {
  /** What is applied, in the transaction's snapshot or (READ COMMITTED) earlier: the proposal's base. */
  readonly base: Vector;
  /** Names the transaction within its engine: the backend and when it began. */
  readonly transaction: string;
}

/** The row of BEGIN_QUERY: `4711.1764444444000000 {"0": 17179952128}`. */
export function readBegun([text]: readonly (string | null)[]): Begun {
  const [transaction = '', ...base] = (text ?? '').split(' ');
  return { transaction, base: readVector(base.join(' ') || '{}') };
}

/** A JSON object, writer → LSN. */
export const readVector = (json: string): Vector =>
  Object.fromEntries(
    Object.entries(JSON.parse(json) as Record<string, number>).map(([writer, at]) => [writer, lsn(at)]),
  );

/**
 * To be sent at COMMIT. The rows of its last statement are the write-set (`readWriteSet`); none means that nothing was written:
 * COMMIT is all that is missing. An error leaves the transaction failed, as an error of COMMIT would. With `asksPriority` the row of
 * its first statement has the transaction's priority (`readPriority`).
 */
export const closing = (secret: string, { transaction }: Begun, { asksPriority = false } = {}): string =>
  [
    `select dbproxy.closing('${proof(secret, transaction, 'closing')}')${asksPriority ? ', dbproxy.priority()' : ''}`,
    'set constraints all immediate',
    'select * from dbproxy.write_set()',
  ].join('; ');

/** Who has none counts as 0. */
export const readPriority = (row: readonly (string | null)[] | undefined): number => Number(row?.[1] ?? 0);

/**
 * To be sent once `at` is decided to commit. SQLSTATE 23505 on dbproxy.applied: a replay was first. The marker goes with the
 * transaction: who finds it knows that `at` is in this engine.
 */
export const certified = (secret: string, { transaction }: Begun, at: Lsn): string =>
  `select dbproxy.certify(${at}, '${proof(secret, transaction, String(at))}'); commit`;

/** To be sent after a REASSIGN OWNED, which nothing in the engine tells of. `statement`: as the client sent it, in its encoding. */
export const reassigned = (secret: string, { transaction }: Begun, statement: Buffer): string => {
  const hex = statement.toString('hex');
  return `select dbproxy.reassigned('${proof(secret, transaction, `reassigned ${hex}`)}', '${hex}')`;
};

/** As IS_PROVEN in sql/guard.ts asks for it. */
const proof = (secret: string, transaction: string, what: string): string =>
  createHash('sha256').update(`${secret}:${transaction}:${what}:${secret}`).digest('hex');
