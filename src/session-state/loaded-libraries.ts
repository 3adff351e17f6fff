/**
 * Row 15: libraries of LOAD. Before PostgreSQL 18 nothing lists them, so the statements are kept as they passed by (tracker.ts),
 * and their tags counted; LOAD in a function has no tag, and is not seen. They run again before all settings, which the library
 * may define; on a standby, too. A library that is there already is not loaded twice.
 */
import { encode } from '../protocol/index.js';
import type { ReplayStep, StateKindModule } from './kind.js';
import { listed } from './kind.js';

export interface LoadedLibraries {
  /** Statements, as they came: `LOAD 'auto_explain'`. */
  readonly statements: readonly string[];
  /** Fewer ran than passed by: some of them failed, and fail again. */
  readonly someFailed: boolean;
  /** One ran whose statement is not known. */
  readonly unknown: boolean;
}

const NOTHING: LoadedLibraries = { statements: [], someFailed: false, unknown: false };

export const loadedLibraries: StateKindModule<LoadedLibraries> = {
  none: NOTHING,

  *read({ tracker: { loads, loaded } }, previous) {
    if (loaded === 0) return NOTHING;
    const state = {
      statements: [...loads.statements],
      someFailed: loaded < loads.seen,
      unknown: loads.missed || loads.statements.size === 0,
    };
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
        onError: wanted.someFailed ? 'carry' : 'fail',
      })),
};
