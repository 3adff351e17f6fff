/**
 * What is known of a session whose engine is gone: its state as of the last look, without what only that engine had (rows of
 * temporary tables, held cursors, memory of extensions), and with what the proxy itself knows better by now.
 */
import { emptyState, inventory, losses, type SessionState } from '../../session-state/index.js';
import type { Session } from '../session.js';

export interface Salvaged {
  readonly state: SessionState;
  /** What is not in it, for the client. */
  readonly lost: readonly string[];
}

/** Null: it was never looked at, so that nothing but its login is known. */
export const salvage = (session: Session): Salvaged | null => {
  const { state, tracker } = session;
  if (!state) return null;
  const { tempObjects, heldCursors } = emptyState;
  const lost = [...named(state, 'tempObjects', 'temporary'), ...named(state, 'heldCursors', 'held cursor')];
  const since = session.dirty
    ? [`what its statements have changed of it since it was read, ${agoOf(session)} before`]
    : [];
  const unnamed = tracker.unnamedTooLong ? emptyState.unnamedStatement : { kept: tracker.unnamedStatement };
  return {
    state: { ...state, tempObjects, heldCursors, unnamedStatement: unnamed },
    lost: [...lost, ...losses(state), ...since],
  };
};

const named = (state: SessionState, kind: 'tempObjects' | 'heldCursors', what: string): string[] =>
  inventory(state)
    .filter((item) => item.kind === kind)
    .map(({ name, detail }) => `${what} ${kind === 'tempObjects' ? `${detail} ` : ''}${name}`);

const agoOf = (session: Session): string =>
  `${Math.round(performance.now() - session.lookedAtMs - session.heldForMs())} ms`;
