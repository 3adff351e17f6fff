/** What takes too long on a connection, as another one sees it: its statement is canceled, and where it does not let itself be, its session ended. */
import type { Ask } from './in-turn.js';

/** So often it is looked at until then: that it was at it by chance, once, is not counted as all of the time. */
const LOOKS = 4;

/** SQL expressions, of the backend $1. */
export const RUNS_CODE = `exists (select from pg_catalog.pg_locks join dbproxy.running_code on rel operator(pg_catalog.=) relation where pid operator(pg_catalog.=) $1)`;
export const WAITS_FOR_NOBODY = `pg_catalog.cardinality(pg_catalog.pg_blocking_pids($1)) operator(pg_catalog.=) 0`;

/**
 * From now on `isAtIt` is looked at; where it has been so for `boundMs` the statement is canceled, and after as long again the session ended. Until what
 * it returns is called: whether anything was.
 */
export function watchOverdue(
  ask: Ask,
  pid: number,
  boundMs: number,
  isAtIt: typeof RUNS_CODE | typeof WAITS_FOR_NOBODY,
): () => Promise<boolean> {
  let looks = 0;
  let isEnded = false;
  let looking: Promise<void> = Promise.resolve();
  const look = async (): Promise<void> => {
    const end = looks + 1 < LOOKS ? null : looks + 1 < 2 * LOOKS ? 'cancel' : 'terminate';
    const { rowCount } = await ask(
      `select ${end === null ? 'true' : `pg_catalog.pg_${end}_backend($1)`} where ${isAtIt}`,
      [pid],
    );
    if (rowCount === 0) return;
    looks++;
    isEnded ||= end !== null;
  };
  const timer = setInterval(() => {
    // Without an answer the watcher's connection is gone: whoever owns it knows.
    looking = looking.then(look).catch(() => undefined);
  }, boundMs / LOOKS);
  return async () => {
    clearInterval(timer);
    await looking;
    return isEnded;
  };
}
