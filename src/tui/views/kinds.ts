/** The kinds of session state: a letter for the row of a session, words for its detail. */
import type { SessionStatus } from '../../control/api.js';

type Kind = SessionStatus['stateKinds'][number];

export const KINDS: Readonly<Record<Kind, { readonly letter: string; readonly name: string }>> = {
  settings: { letter: 'S', name: 'settings' },
  customSettings: { letter: 's', name: 'custom settings' },
  preparedStatements: { letter: 'P', name: 'prepared statements' },
  unnamedStatement: { letter: 'u', name: 'unnamed statement' },
  tempObjects: { letter: 'T', name: 'temporary objects' },
  sequences: { letter: 'Q', name: 'sequence values' },
  heldCursors: { letter: 'C', name: 'held cursors' },
  advisoryLocks: { letter: 'A', name: 'advisory locks' },
  listen: { letter: 'L', name: 'LISTEN channels' },
  role: { letter: 'R', name: 'role' },
  loadedLibraries: { letter: 'l', name: 'loaded libraries' },
  extensionMemory: { letter: 'X', name: 'memory of extensions' },
};

export const lettersOf = (kinds: readonly Kind[]): string => kinds.map((kind) => KINDS[kind].letter).join('');
