/**
 * While the old backend still tells the contents of a session, the new one, which is a primary by now, is given what needs none:
 * temporary objects without their rows, and what is prepared on them. That is more than half of the work, on a processor of its own.
 */
import type { StateChannel } from './channel.js';
import type { SessionState } from './kinds.js';
import { replay } from './replay.js';
import { bare } from './temp-objects.js';

/**
 * Brings the backend behind `channel`, a primary in state `there`, to what of `known` needs no contents; its state then. Null: it
 * was not possible, and what the backend has is not known. `known`: what the last look at the session found.
 */
export const replayAhead = async (
  channel: StateChannel,
  known: SessionState,
  there: SessionState,
  base: SessionState,
): Promise<SessionState | null> => {
  const { tempObjects, loadedLibraries, settings, customSettings, preparedStatements, role } = known;
  if (tempObjects.definitions === null || there.tempObjects.definitions !== null) return there;
  // Values of sequences come later: to fill temporary ones forgets those of all.
  const part = { loadedLibraries, settings, customSettings, preparedStatements, role };
  const wanted = { ...there, ...part, tempObjects: bare(tempObjects) };
  return replay(channel, wanted, there, base, true).then(
    ({ state }) => state,
    () => null,
  );
};

/** What was made ahead for `known` serves `wanted` as well. Else prepared statements may be bound to tables that are others now. */
export const servesAsWell = (known: SessionState, wanted: SessionState): boolean =>
  known.tempObjects.definitions === null ||
  (known.tempObjects.definitions === wanted.tempObjects.definitions &&
    known.tempObjects.onCommit === wanted.tempObjects.onCommit);
