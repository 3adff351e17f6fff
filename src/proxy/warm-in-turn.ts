/**
 * Warms sessions before a switch. A new backend costs tens of ms of CPU: while clients work, sessions are warmed one after the
 * other with pauses, or the queue that builds up behind them would be part of the stall.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Session } from './session.js';

/** Sessions warmed at the same time. */
const WARM_CONCURRENCY = 4;
/** Pause after a session was warmed while clients work, in units of the time that took. */
const WARM_PAUSE_FACTOR = 2;
/** All those pauses together, ms. */
const WARM_PAUSES_LIMIT_MS = 5_000;

/** Returns how many were warmed. */
export const warmInTurn = async (
  sessions: readonly Session[],
  warm: (session: Session) => Promise<void>,
  anyActive: () => boolean,
  progress: (warmed: number) => void,
): Promise<number> => {
  const queue = [...sessions];
  const pausesEndMs = performance.now() + WARM_PAUSES_LIMIT_MS;
  let warmed = 0;
  const worker = async (): Promise<void> => {
    for (let session = queue.shift(); session; session = queue.shift()) {
      const startMs = performance.now();
      await warm(session);
      progress(++warmed);
      const nowMs = performance.now();
      const share = (pausesEndMs - nowMs) / (queue.length + 1);
      const pauseMs = Math.min((nowMs - startMs) * WARM_PAUSE_FACTOR, share);
      if (pauseMs > 0 && anyActive()) await delay(pauseMs);
    }
  };
  const workers = anyActive() ? 1 : WARM_CONCURRENCY;
  await Promise.all(Array.from({ length: workers }, worker));
  return warmed;
};
