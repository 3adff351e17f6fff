/** Who stands in the way of the applier: looked for on another connection while a statement takes its time. */
import type { Lsn } from '../protocol/index.js';
import type { Ask } from './in-turn.js';

/** A session whose lock the applier waits for. */
export interface Blocker {
  /** Its backend, as pg_blocking_pids() names it. */
  readonly pid: number;
  readonly waitedMs: number;
}

/** Called again and again while the entry waits for locks. */
export type OnBlocked = (lsn: Lsn, blockers: readonly Blocker[]) => void;

/** So long a wait is left to itself. */
const BLOCKED_MS = 5;

const BLOCKERS = { name: 'blockers', text: 'select unnest(pg_blocking_pids($1)) as pid' };

/**
 * Calls `onBlocked` again and again (each BLOCKED_MS) while the wait goes on, and waits for what it does. Until what it returns is
 * called: that resolves when the watcher is free again.
 */
export function watchBlockers(
  ask: Ask,
  pid: number,
  onBlocked: (blockers: readonly Blocker[]) => unknown,
): () => Promise<void> | null {
  const since = performance.now();
  let timer: NodeJS.Timeout | undefined;
  let looking: Promise<void> | null = null;
  let isOver = false;
  const again = (): void => {
    looking = null;
    if (!isOver) timer = setTimeout(() => void (looking = look().then(again)), BLOCKED_MS);
  };
  const look = async (): Promise<void> => {
    try {
      const { rows } = await ask<{ pid: number }>({ ...BLOCKERS, values: [pid] });
      const waitedMs = performance.now() - since;
      if (!isOver && rows.length > 0) await onBlocked(rows.map((row) => ({ pid: row.pid, waitedMs })));
    } catch {
      // The watcher's connection is gone: whoever owns it knows.
      isOver = true;
    }
  };
  again();
  return () => {
    isOver = true;
    clearTimeout(timer);
    return looking;
  };
}
