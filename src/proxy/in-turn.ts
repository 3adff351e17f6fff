/** In which order sessions move once the target is there, and how long each may take. */
import { availableParallelism } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { burden, estimate, type SessionState } from '../session-state/index.js';
import type { Session } from './session.js';

export interface TurnBounds {
  /** How many move at the same time. */
  readonly slots: number;
  /** How long one may keep others waiting, ms. */
  readonly slotMs: number;
}

/** To move one takes a processor for its old backend and one for its new one; several proxy processes share them. */
export const turnsOf = (processes: number): TurnBounds => ({
  slots: Math.max(2, Math.round((2 * availableParallelism()) / processes)),
  slotMs: 20,
});

/** Of a session, as much as it takes. */
export type Mover = Pick<Session, 'hasWaitingBytes' | 'waitingSinceMs' | 'onWaits'>;

/**
 * Those that take nothing go at once. Of the others those whose clients wait go first, now and as they come to wait, and of them
 * those that take the least (`costMs`); the rest when nobody waits. A few at a time: all at once, each would take as long as all of them, and so would the first statements of those that
 * are there. But nobody waits for long for somebody else's state.
 */
export const inTurn = async <S extends Mover>(
  sessions: readonly S[],
  work: (session: S) => Promise<void>,
  costMs: (session: S) => number,
  { slots, slotMs }: TurnBounds,
): Promise<void> => {
  const all = sessions
    .map((session) => ({ session, cost: costMs(session), waits: session.hasWaitingBytes }))
    .sort(
      (a, b) =>
        Number(b.waits) - Number(a.waits) ||
        a.cost - b.cost ||
        a.session.waitingSinceMs - b.session.waitingSinceMs,
    );
  const atOnce = all.filter(({ cost }) => cost === 0);
  const ordered = all.filter(({ cost }) => cost > 0).map(({ session }) => session);
  const waiting = new Set(ordered.filter((session) => session.hasWaitingBytes));
  const idle = new Set(ordered.filter((session) => !waiting.has(session)));
  const underway = atOnce.map(({ session }) => work(session));
  for (const done of underway) done.catch(() => undefined);
  let running = 0;
  let allHaveBegun = (): void => undefined;
  const begun = new Promise<void>((resolve) => (allHaveBegun = resolve));
  const begin = async (session: S): Promise<void> => {
    waiting.delete(session);
    idle.delete(session);
    session.onWaits = null;
    running++;
    const done = work(session);
    underway.push(done);
    const late = new AbortController();
    await Promise.race([done, delay(slotMs, undefined, late)]).catch(() => undefined);
    late.abort();
    running--;
    advance();
  };
  const advance = (): void => {
    while (running < slots) {
      const [next] = waiting.size > 0 ? waiting : idle;
      if (!next) break;
      void begin(next);
    }
    if (waiting.size + idle.size === 0) allHaveBegun();
  };
  for (const session of idle)
    session.onWaits = () => {
      if (!idle.delete(session)) return;
      waiting.add(session);
      advance();
    };
  advance();
  await begun;
  await Promise.all(underway);
};

/** How much longer than an estimate a session may take once there is no way back. */
const PATIENCE = 4;

/** How long each of them may take, ms, all sharing the processors; one by itself: as long as `sessionMs`, an estimate, allows for. */
export const patienceMs = (sessions: readonly Pick<Session, 'state'>[], sessionMs: number): number => {
  const together = sessions.reduce((sum, { state }) => sum + (state ? estimate(state).ms : 0), 0);
  return PATIENCE * Math.max(sessionMs, together);
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
