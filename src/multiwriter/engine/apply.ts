/**
 * Another writer's transaction, on this engine: one statement in one transaction, exactly once, row by row and by key.
 * The connection is ours alone, made so by `asApplier`; what it writes is not captured, fires no trigger of a user and checks no
 * foreign key again.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type ClientBase, DatabaseError } from 'pg';
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

/** `tuple concurrently updated` is one: a client here has changed the same definition, and will not be let commit it. */
const INTERNAL_ERROR = 'XX000';
const INTERNAL_TRIES = 20;
const INTERNAL_MS = 50;

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

/**
 * False: it was applied before. Throws ApplyDiverged for what would be the same the next time; other errors (a lost connection, a
 * deadlock, a full disk) are worth another try.
 */
export async function apply(
  connection: ClientBase,
  entry: Entry,
  { watcher, onBlocked }: ApplyOptions,
): Promise<boolean> {
  const watch = watchBlockers(watcher, pidOf(connection), onBlocked);
  try {
    for (let tries = 1; ; tries++) {
      try {
        const { rows } = await connection.query<{ is_new: boolean }>(
          'select dbproxy.apply($1, $2) as is_new',
          [entry.lsn, entry.payload],
        );
        return rows[0]?.is_new ?? false;
      } catch (error) {
        if (isPassing(error)) throw error;
        if (!isInternal(error) || tries === INTERNAL_TRIES)
          throw new ApplyDiverged(entry.lsn, (error as Error).message, error);
        await delay(INTERNAL_MS);
      }
    }
  } finally {
    watch.stop();
  }
}

/** Set by the server when it was connected; the types of `pg` do not tell. */
const pidOf = (connection: ClientBase): number => (connection as unknown as { processID: number }).processID;

/**
 * What came from elsewhere (the connection is lost) and SQLSTATEs that tell of the engine's state, and not of what is in it: 08, 40
 * (deadlocks), 53 (no room), 57 (canceled, shut down), 58 (the system), a lock that was not to be had, and 25006, of an engine
 * that is not promoted yet.
 */
const isPassing = (error: unknown): boolean =>
  !(error instanceof DatabaseError) || /^(08|40|53|57|58|55P03$|25006$)/.test(error.code ?? '');

const isInternal = (error: unknown): boolean =>
  error instanceof DatabaseError && error.code === INTERNAL_ERROR;

/** Watchers that have not answered yet. */
const looking = new WeakSet<ClientBase>();

function watchBlockers(watcher: ClientBase, pid: number, onBlocked: ApplyOptions['onBlocked']) {
  const since = performance.now();
  let timer: NodeJS.Timeout | null = null;
  let isOver = false;
  const again = (): void => {
    if (!isOver) timer = setTimeout(() => void look(), BLOCKED_MS);
  };
  const look = async (): Promise<void> => {
    // The last look for the entry before this one.
    if (looking.has(watcher)) return again();
    looking.add(watcher);
    try {
      const { rows } = await watcher.query<{ pid: number }>('select unnest(pg_blocking_pids($1)) as pid', [
        pid,
      ]);
      const waitedMs = performance.now() - since;
      if (!isOver && rows.length > 0) onBlocked(rows.map((row) => ({ pid: row.pid, waitedMs })));
    } catch {
      // The watcher's connection is gone: whoever owns it knows.
      isOver = true;
    } finally {
      looking.delete(watcher);
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
