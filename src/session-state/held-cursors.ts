/** Row 9: WITH HOLD cursors. At a safe point only these are left; recognised, not moved yet. */
import type { Rows } from './channel.js';
import type { StateKindModule } from './kind.js';
import { listed } from './kind.js';

export const heldCursors: StateKindModule<readonly string[]> = {
  none: [],
  *read() {
    const rows: Rows = yield 'select name from pg_catalog.pg_cursors where is_holdable';
    return rows.map(([name]) => name ?? '');
  },
  summarize: (names) =>
    names.length === 0 ? null : { count: names.length, detail: listed(names.length, 'held cursor', names) },
  replay: null,
};
