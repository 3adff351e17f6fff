/**
 * `save`: everything that the sessions of a server hold, read before that server stops. All at once: each reads on its own
 * backend, and everybody waits for the last one.
 */
import type { KindReport } from '../session-state/index.js';
import type { Blocker } from './control-api.js';
import { inTime } from './in-turn.js';
import type { SessionMove } from './session-move.js';

/** Names those that could not be read, and those of which only now is known that they hold too much. */
export const saveAll = async (moves: readonly SessionMove[], limitMs: number): Promise<Blocker[]> => {
  const found = await Promise.all(moves.map((move) => saveOne(move, limitMs)));
  return found.filter((blocker) => blocker !== null);
};

const saveOne = async (move: SessionMove, limitMs: number): Promise<Blocker | null> => {
  const { session } = move;
  if (session.isClosed) return null;
  const blocker = (reason: string): Blocker => ({
    ...session.ref,
    kinds: move.obstacles.map(({ kind }) => kind),
    reason,
  });
  try {
    await inTime(move.save(), limitMs, () => session.state, 'read');
    return move.obstacles.length === 0 ? null : blocker(`holds ${inWords(move.obstacles)}`);
  } catch (error) {
    return session.isClosed ? null : blocker(`cannot be read: ${(error as Error).message}`);
  }
};

export const inWords = (obstacles: readonly KindReport[]): string =>
  obstacles.map(({ detail }) => detail).join('; ');
