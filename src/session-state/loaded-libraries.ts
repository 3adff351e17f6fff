/**
 * Row 15: libraries of LOAD. Before PostgreSQL 18 nothing lists them, so the statements are kept as they passed by, and which of
 * them ran (seen-texts.ts); LOAD in a function has no tag, and is not seen. They run again before all settings, which the library
 * may define; on a standby, too. A library that is there already is not loaded twice.
 */
import { encode } from '../protocol/index.js';
import type { ReplayStep, StateKindModule } from './kind.js';
import { listed } from './kind.js';

export interface LoadedLibraries {
  /** Statements, as they came: `LOAD 'auto_explain'`. */
  readonly statements: readonly string[];
  /** Some of them may have failed, and then fail again. */
  readonly unsure: boolean;
  /** One ran whose statement is not known. */
  readonly unknown: boolean;
}

const NOTHING: LoadedLibraries = { statements: [], unsure: false, unknown: false };

export const loadedLibraries: StateKindModule<LoadedLibraries> = {
  none: NOTHING,

  *read({ tracker: { loads } }, previous) {
    loads.settle();
    const { statements, unsure, unknown } = loads;
    if (statements.length === 0 && !unknown) return NOTHING;
    const state = { statements, unsure, unknown };
    return previous && JSON.stringify(previous) === JSON.stringify(state) ? previous : state;
  },

  summarize: ({ statements, unknown }) =>
    statements.length === 0 && !unknown
      ? null
      : { count: Math.max(statements.length, 1), detail: listed(statements.length, 'LOAD', statements) },

  obstacle: ({ unknown }) => (unknown ? 'a library loaded with LOAD, unknown which' : null),

  replay: (wanted, there) =>
    wanted.statements
      .filter((statement) => !there.statements.includes(statement))
      .map((statement): ReplayStep => ({
        messages: encode.query(statement),
        ends: 'query',
        what: statement,
        onError: wanted.unsure ? 'carry' : 'fail',
      })),
};
