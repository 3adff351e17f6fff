/**
 * A client's transaction, as the proxy takes it through its COMMIT. All of it runs in the client's own session, as the client's
 * role, and each of these is one simple query:
 *
 *   first statement   BEGIN_QUERY     what names this transaction
 *   COMMIT            closing()       deferred constraints fire, and capture, which tells the write-set in notices (told.ts)
 *                     FIRE_AGAIN_QUERY  where clients have deferred triggers (Told.mayDefer)
 *                     WRITE_SET_QUERY what was kept in the engine, where there is something
 *                     … it is proposed, and accepted …
 *                     certified()     the marker, then COMMIT
 *                     UNUSED          nothing was told: COMMIT is all that is missing
 *
 * A client cannot call these in the proxy's stead: `closing` takes a proof, a hash over the engine's secret and this very transaction, and
 * the others work behind it alone. That a query of the proxy can be read in pg_stat_activity gives nothing away; its proof is good for no other transaction.
 */
import { createHash } from 'node:crypto';
import { lsn, type Lsn, type Vector } from '../protocol/index.js';
import type { Told } from './told.js';

/** One row; see `readBegun`. SERIALIZABLE is refused here (SQLSTATE 0A000, with a hint). */
export const BEGIN_QUERY = 'select dbproxy.begun()';

/** Names a transaction within its engine: the backend and when it began, `4711.1764444444000000`. */
export type TransactionName = string;

/** The row of BEGIN_QUERY. */
export const readBegun = ([name]: readonly (string | null)[]): TransactionName => name ?? '';

/** A JSON object, writer → LSN. */
export const readVector = (json: string): Vector =>
  Object.fromEntries(
    Object.entries(JSON.parse(json) as Record<string, number>).map(([writer, at]) => [writer, lsn(at)]),
  );

/**
 * To be sent at COMMIT. An error leaves the transaction failed, as an error of COMMIT would. With `asksPriority` the row of
 * its first statement has the transaction's priority (`readPriority`).
 */
export const closing = (secret: string, name: TransactionName, { asksPriority = false } = {}): string =>
  `select dbproxy.closing('${proof(secret, name, 'closing')}')${asksPriority ? ', dbproxy.priority()' : ''}; set constraints all immediate`;

/** In front of a statement that PostgreSQL refuses for a table with changes that are not told, and that no event trigger sees. */
export const SETTLE_QUERY = 'select dbproxy.settle()';

/**
 * Behind `closing`; see `Told.mayDefer`. A deferred trigger that says SET CONSTRAINTS … DEFERRED may leave something to the COMMIT, which
 * would come behind the proposal. This fires it; and where no trigger of a client is fired any more, nothing is left. Two rows of one number.
 */
export const FIRE_AGAIN_QUERY =
  'select dbproxy.fired(); set constraints all immediate; select dbproxy.fired()';

/** Something was left: such a transaction is none to commit. `before`, `after`: the numbers; `told`: by FIRE_AGAIN_QUERY. */
export const hasFiredAgain = (
  before: string | null | undefined,
  after: string | null | undefined,
  told: Told,
): boolean => before !== after || !told.isNothing;

/** Behind `closing`; see `Told.hasKept`. */
export const WRITE_SET_QUERY = 'select * from dbproxy.write_set()';

/** Behind `closing`, in front of the COMMIT of a transaction of which nothing was told. */
export const UNUSED = 'select dbproxy.closed()';

/** Who has none counts as 0. */
export const readPriority = (row: readonly (string | null)[] | undefined): number => Number(row?.[1] ?? 0);

/**
 * To be sent once `at` is decided to commit. SQLSTATE 23505 on dbproxy.applied: a replay was first. The marker goes with the
 * transaction: who finds it knows that `at` is in this engine.
 */
export const certified = (at: Lsn): string => `select dbproxy.certify(${at}); commit`;

/** To be sent after a REASSIGN OWNED, which nothing in the engine tells of. `statement`: as the client sent it, in its encoding. */
export const reassigned = (secret: string, name: TransactionName, statement: Buffer): string => {
  const hex = statement.toString('hex');
  return `select dbproxy.reassigned('${proof(secret, name, `reassigned ${hex}`)}', '${hex}')`;
};

/** As IS_PROVEN in sql/guard.ts asks for it. */
const proof = (secret: string, name: TransactionName, what: string): string =>
  createHash('sha256').update(`${secret}:${name}:${what}:${secret}`).digest('hex');
