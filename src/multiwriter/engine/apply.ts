/**
 * Another writer's transaction, on this engine: one statement in one transaction, exactly once, row by row and by key.
 * The connection is ours alone, made so by `asApplier`; what it writes is not captured, fires no trigger of a user and checks no
 * foreign key again.
 */
import type { ClientBase, DatabaseError } from 'pg';
import type { Lsn } from '../protocol/index.js';

export interface Entry {
  readonly lsn: Lsn;
  readonly payload: string;
}

/** A session whose lock the entry waits for. */
export interface Blocker {
  /** Its backend, as pg_blocking_pids() names it. */
  readonly pid: number;
  readonly waitedMs: number;
}

export interface ApplyOptions {
  /** Another connection: it looks who blocks while the first one waits. */
  readonly watcher: ClientBase;
  /**
   * Called again and again (each BLOCKED_MS) while the entry waits for locks. Whoever stands in the way and is not decided yet has
   * to be rolled back by the caller; to do nothing is to wait.
   */
  readonly onBlocked: (blockers: readonly Blocker[]) => void;
}

/** So long a wait is left to itself. */
const BLOCKED_MS = 5;

/** This engine is not what the log says: it has to stop, and be built again. Nothing of the entry was kept. */
export class ApplyDiverged extends Error {
  override readonly name = 'ApplyDiverged';
  readonly lsn: Lsn;

  constructor(lsn: Lsn, reason: string, cause: unknown) {
    super(`entry ${lsn} does not fit: ${reason}`, { cause });
    this.lsn = lsn;
  }
}

/** Makes a superuser's connection one for `apply`, and for nothing else. */
export async function asApplier(connection: ClientBase): Promise<number> {
  const { rows } = await connection.query<{ pid: number }>('select pg_backend_pid() as pid');
  await connection.query('set session authorization dbproxy_apply');
  await connection.query(`select dbproxy.prepare_applier()`);
  return rows[0]?.pid ?? 0;
}

/** False: it was applied before. Throws ApplyDiverged; other errors (a lost connection, a full disk) are worth another try. */
export async function apply(
  connection: ClientBase,
  entry: Entry,
  { watcher, onBlocked }: ApplyOptions,
): Promise<boolean> {
  const watch = watchBlockers(watcher, pidOf(connection), onBlocked);
  try {
    const { rows } = await connection.query<{ is_new: boolean }>('select dbproxy.apply($1, $2) as is_new', [
      entry.lsn,
      entry.payload,
    ]);
    return rows[0]?.is_new ?? false;
  } catch (error) {
    throw isDivergence(error) ? new ApplyDiverged(entry.lsn, (error as Error).message, error) : error;
  } finally {
    watch.stop();
  }
}

/** Set by the server when it was connected; the types of `pg` do not tell. */
const pidOf = (connection: ClientBase): number => (connection as unknown as { processID: number }).processID;

/** DBP01: a row was not where it should be. Classes of SQLSTATEs that depend on what is in the engine, not on its state. */
const isDivergence = (error: unknown): boolean =>
  /^(DBP01$|21|22|23|2B|2F|38|39|42)/.test((error as Partial<DatabaseError>).code ?? '');

function watchBlockers(watcher: ClientBase, pid: number, onBlocked: ApplyOptions['onBlocked']) {
  const since = performance.now();
  let timer: NodeJS.Timeout | null = null;
  let isOver = false;
  const again = (): void => {
    if (!isOver) timer = setTimeout(() => void look(), BLOCKED_MS);
  };
  const look = async (): Promise<void> => {
    try {
      const { rows } = await watcher.query<{ pid: number }>('select unnest(pg_blocking_pids($1)) as pid', [
        pid,
      ]);
      const waitedMs = performance.now() - since;
      if (!isOver && rows.length > 0) onBlocked(rows.map((row) => ({ pid: row.pid, waitedMs })));
    } catch {
      // The watcher's connection is gone: whoever owns it knows.
      isOver = true;
    }
    again();
  };
  again();
  return {
    stop: (): void => {
      isOver = true;
      if (timer) clearTimeout(timer);
    },
  };
}
