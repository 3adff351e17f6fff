/**
 * Row 8: the unnamed prepared statement. In no view; the proxy keeps the last unnamed Parse as it came. Replayed after
 * everything else, because each of our own queries replaces it; where there is none, ours is closed. If it failed then, it fails
 * again, and nobody is told.
 */
import { encode } from '../protocol/index.js';
import type { StateKindModule } from './kind.js';
import { MAX_UNNAMED_STATEMENT_BYTES } from './tracker.js';

export type UnnamedStatement =
  | { readonly kept: Buffer | null }
  /** Longer than MAX_UNNAMED_STATEMENT_BYTES. */
  | { readonly tooLong: true };

export const unnamedStatement: StateKindModule<UnnamedStatement> = {
  none: { kept: null },

  *read({ tracker }) {
    return tracker.unnamedTooLong ? { tooLong: true } : { kept: tracker.unnamedStatement };
  },

  summarize: (state) =>
    'tooLong' in state || state.kept ? { count: 1, detail: 'the unnamed statement' } : null,

  obstacle: (state) =>
    'tooLong' in state ? `an unnamed statement of more than ${MAX_UNNAMED_STATEMENT_BYTES} bytes` : null,

  replay: (wanted) =>
    'tooLong' in wanted
      ? []
      : [
          {
            messages: wanted.kept ?? encode.closeStatement(''),
            ends: 'sync',
            what: 'the unnamed statement',
            onError: 'carry',
          },
        ],
};
