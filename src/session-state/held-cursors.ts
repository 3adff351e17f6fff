/** Row 9: WITH HOLD cursors. At a safe point only these are left; recognised, not moved yet. */
import type { Rows } from './channel.js';
import type { StateKindModule } from './kind.js';
import { listed, names } from './kind.js';

export const heldCursors: StateKindModule<readonly string[]> = {
  none: [],
  *read() {
    const rows: Rows = yield {
      select: ['array(select name from pg_catalog.pg_cursors where is_holdable)'],
    };
    return names(rows[0]?.[0]);
  },
  summarize: (cursors) =>
    cursors.length === 0
      ? null
      : { count: cursors.length, detail: listed(cursors.length, 'held cursor', cursors) },
  replay: null,
};
