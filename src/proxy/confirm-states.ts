/**
 * When everybody is held, states that nobody but others can have changed are confirmed together, by one question for each database
 * (session-state/temp-marks.ts). Those that are not confirmed are read, each on its own backend, as all others are.
 */
import { availableParallelism } from 'node:os';
import type { Session } from './session.js';

/** To plan the question takes as long as to answer it for a few. */
const WORTH_ANOTHER_BACKEND = 8;

/** Resolves when it is known. Never fails: who cannot be confirmed is read. */
export const confirmStates = async (sessions: Iterable<Session>): Promise<void> => {
  const byDatabase = new Map<string, Session[]>();
  for (const session of sessions) {
    if (!session.canBeConfirmed) continue;
    const { database } = session.identity;
    byDatabase.set(database, [...(byDatabase.get(database) ?? []), session]);
  }
  await Promise.all(
    [...byDatabase.values()].flatMap(shared).map(async (together) => {
      const [asked] = together;
      const marks = await asked?.marksOf(together).catch(() => null);
      if (marks) for (const session of together) session.confirm(marks);
    }),
  );
};

/** A part for each processor. */
const shared = (sessions: readonly Session[]): Session[][] => {
  const size = Math.max(WORTH_ANOTHER_BACKEND, Math.ceil(sessions.length / availableParallelism()));
  return Array.from({ length: Math.ceil(sessions.length / size) }, (_, i) =>
    sessions.slice(i * size, (i + 1) * size),
  );
};
