/**
 * Keeps what is known of sessions fresh while a standby stands by: nothing can be asked of an engine that is gone. A session is
 * looked at when its client has been quiet for a moment, and one that never is at its next safe point, once a second.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { EngineAdmin } from '../engine-admin.js';
import type { LookContext } from '../session-move.js';
import { whileHeld } from '../session-move.js';
import type { Session } from '../session.js';

/** Between two rounds, ms. */
const ROUND_MS = 50;
/** Since its last request was answered, ms. */
const QUIET_MS = 20;
/** Of one that is never quiet: since the last look, ms. */
const STALE_MS = 1_000;
const SAFE_POINT_MS = 20;

export interface Watched {
  readonly sessions: ReadonlySet<Session>;
  /** Null: not now. */
  readonly admin: () => EngineAdmin | null;
  readonly context: (thorough: boolean) => Promise<LookContext>;
}

export const keepWatch = async (watched: Watched, until: AbortSignal): Promise<void> => {
  while (!until.aborted) {
    await round(watched, until).catch(() => undefined);
    await delay(ROUND_MS, undefined, { signal: until }).catch(() => undefined);
  }
};

const round = async ({ sessions, admin, context }: Watched, until: AbortSignal): Promise<void> => {
  const toRead = [...sessions].filter(isToBeRead);
  const engine = admin();
  if (toRead.length === 0 || !engine) return;
  const holders = await engine.advisoryLockHolders();
  for (const session of toRead) {
    if (until.aborted || !admin()) return;
    if (session.isClosed || session.isOrphaned) continue;
    // Locks are in no look but a thorough one.
    const thorough = session.state === null || holders.has(session.server.backendPid);
    const asked = { ...(await context(thorough)), scanNames: false };
    await whileHeld(session, SAFE_POINT_MS, () => session.look(asked)).catch(() => undefined);
  }
};

const isToBeRead = (session: Session): boolean => {
  if (!session.dirty || session.isClosed || session.isOrphaned || session.held) return false;
  const now = performance.now();
  const quiet = !session.isActive && now - session.quietSinceMs > QUIET_MS;
  return quiet || now - session.lookedAtMs > STALE_MS;
};
