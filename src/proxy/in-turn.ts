/** In which order sessions move once the target is there, and how long each may take. */
import { burden, type SessionState } from '../session-state/index.js';
import { fewAtATime } from './few-at-a-time.js';
import type { Session } from './session.js';

/** Sessions with nothing to do that move at the same time. */
const BACKGROUND_CONCURRENCY = 8;

/**
 * Those whose clients wait go at once, now and as they come to wait; the others a few at a time in the background. Nobody waits
 * for somebody else's state.
 */
export const inTurn = async (
  sessions: readonly Session[],
  work: (session: Session) => Promise<void>,
): Promise<void> => {
  const idle = new Set(sessions);
  const underway: Promise<void>[] = [];
  const begin = (session: Session): Promise<void> => {
    idle.delete(session);
    session.onWaits = null;
    const done = work(session);
    underway.push(done);
    return done;
  };
  for (const session of sessions) {
    if (session.hasWaitingBytes) void begin(session);
    else session.onWaits = () => idle.has(session) && void begin(session);
  }
  await fewAtATime(idle, BACKGROUND_CONCURRENCY, begin);
  await Promise.all(underway);
};

export const inTime = async <T>(
  work: Promise<T>,
  limitMs: number,
  state: () => SessionState | null,
  what: 're-created' | 'read' = 're-created',
): Promise<T> => {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const known = state();
      const burdened = (known && burden(known)) || 'its state';
      reject(new Error(`${burdened}: not ${what} within ${limitMs} ms`));
    }, limitMs);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
};
