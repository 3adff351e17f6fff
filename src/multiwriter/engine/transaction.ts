/**
 * A client's transaction, as the proxy takes it through its COMMIT. All of it runs in the client's own session, as the client's role:
 *
 *   first statement   ISOLATION_QUERY  only where it may be SERIALIZABLE
 *   COMMIT            closing()        the proof; then deferred constraints fire, and capture, which tells the write-set in notices (told.ts)
 *                     firingAgain()    where clients have deferred triggers (Told.mayDefer)
 *                     WRITE_SET_QUERY  what was kept in the engine, where there is something
 *                     … it is proposed, and accepted …
 *                     certified()      the marker, then COMMIT
 *                     unused()         nothing was told: COMMIT is all that is missing
 *
 * Functions of ours are called by FunctionCall, which the engine neither parses nor plans; SET CONSTRAINTS and COMMIT stay queries, so that
 * triggers of a client run as the client.
 *
 * A client cannot call `closing` in the proxy's stead: it takes a proof, a hash of the writer's secret, the same for all sessions. Nothing
 * shows it to SQL. Of a FunctionCall no argument is in pg_stat_activity, current_query(), pg_stat_statements or the log (log_statement,
 * durations), and no argument of any call in an error's context. Plans may show one, to whoever sets debug_print_plan: so it is compared in
 * an expression that PL/pgSQL evaluates by itself, and is never a parameter of a query, of which a plan is made with its values.
 */
import { createHash } from 'node:crypto';
import type { ClientBase } from 'pg';
import { lsn, type Lsn, type Vector } from '../protocol/index.js';
import type { Told } from './told.js';

/** To be sent before the first statement. Refuses SERIALIZABLE (SQLSTATE 0A000, with a hint), as `closing` does. */
export const ISOLATION_QUERY = 'select dbproxy.check_isolation()';

const CALLED = ['closing', 'priority', 'closed', 'certify', 'reassigned'] as const;

/** How functions of ours are called in an engine, and what proves that it is the proxy who does. */
export interface Calls {
  readonly proof: string;
  readonly oids: Readonly<Record<(typeof CALLED)[number], number>>;
}

/** A function by its OID; its arguments as text. */
export interface Call {
  readonly oid: number;
  readonly values: readonly string[];
}

/** A query, or a call. */
export type Request = string | Call;

/** Of an engine that is a writer's, with that secret: they are the same for as long as it is, and in its standbys. */
export async function readCalls(connection: ClientBase, secret: string): Promise<Calls> {
  const { rows } = await connection.query<{ name: string; oid: string }>(
    `select proname as name, oid from pg_catalog.pg_proc where pronamespace = 'dbproxy'::regnamespace and proname = any ($1)`,
    [[...CALLED]],
  );
  const oids = Object.fromEntries(rows.map(({ name, oid }) => [name, Number(oid)]));
  return { proof: proofOf(secret), oids: oids as Calls['oids'] };
}

/** What the engine knows of the secret. */
export const proofOf = (secret: string): string => createHash('sha256').update(secret).digest('hex');

/** A JSON object, writer → LSN. */
export const readVector = (json: string): Vector =>
  Object.fromEntries(
    Object.entries(JSON.parse(json) as Record<string, number>).map(([writer, at]) => [writer, lsn(at)]),
  );

/** The guard knows it (sql/guard.ts): a client that says it refuses its own commit. */
export const FIRE_QUERY = 'set constraints all immediate -- dbproxy closes the transaction';

/**
 * To be sent at COMMIT. The first error counts, and leaves the transaction failed, as an error of COMMIT would. With `asksPriority` the
 * second answer is the transaction's priority (`readPriority`).
 */
export const closing = ({ proof, oids }: Calls, { asksPriority = false } = {}): Request[] => [
  { oid: oids.closing, values: [proof] },
  ...(asksPriority ? [{ oid: oids.priority, values: [] }] : []),
  FIRE_QUERY,
];

/** In front of a statement that PostgreSQL refuses for a table with changes that are not told, and that no event trigger sees. */
export const SETTLE_QUERY = 'select dbproxy.settle()';

/**
 * Behind `closing`; see `Told.mayDefer`. A deferred trigger that says SET CONSTRAINTS … DEFERRED may leave something to the COMMIT, which
 * would come behind the proposal. This fires it; and where no trigger of a client is fired any more, nothing is left. One that says RESET ALL
 * ends the closing, too: so it is begun once more. The second and the third answer are of one number.
 */
export const firingAgain = ({ proof, oids }: Calls): Request[] => [
  { oid: oids.closing, values: [proof] },
  'select dbproxy.fired(); set constraints all immediate; select dbproxy.fired()',
];

/** Something was left: such a transaction is none to commit. `before`, `after`: the numbers; `told`: by `firingAgain`. */
export const hasFiredAgain = (
  before: string | null | undefined,
  after: string | null | undefined,
  told: Told,
): boolean => before !== after || !told.isNothing;

/** Behind `closing`; see `Told.hasKept`. */
export const WRITE_SET_QUERY = 'select * from dbproxy.write_set()';

/** Behind `closing`, in front of the COMMIT of a transaction of which nothing was told. */
export const unused = ({ oids }: Calls): Request[] => [{ oid: oids.closed, values: [] }];

/** Who has none counts as 0. */
export const readPriority = (row: readonly (string | null)[] | undefined): number => Number(row?.[0] ?? 0);

/**
 * To be sent once `at` is decided to commit. SQLSTATE 23505 on dbproxy.applied: a replay was first; COMMIT is a ROLLBACK then. The marker
 * goes with the transaction: who finds it knows that `at` is in this engine.
 */
export const certified = ({ oids }: Calls, at: Lsn, { chain = false } = {}): Request[] => [
  { oid: oids.certify, values: [String(at)] },
  chain ? 'commit and chain' : 'commit',
];

/** To be sent after a REASSIGN OWNED, which nothing in the engine tells of. `statement`: as the client sent it, in its encoding. */
export const reassigned = ({ proof, oids }: Calls, statement: Buffer): Request[] => [
  { oid: oids.reassigned, values: [proof, statement.toString('hex')] },
];
