/** Row 13: session-level advisory locks; recognised, not moved yet. At a safe point no transaction-level ones are left. */
import type { Rows } from './channel.js';
import type { StateKindModule } from './kind.js';
import { listed } from './kind.js';

export const advisoryLocks: StateKindModule<number> = {
  none: 0,
  *read() {
    const rows: Rows = yield `select pg_catalog.count(*) from pg_catalog.pg_lock_status()
      where locktype = 'advisory' and pid = pg_catalog.pg_backend_pid()`;
    return Number(rows[0]?.[0] ?? 0);
  },
  summarize: (count) => (count === 0 ? null : { count, detail: listed(count, 'advisory lock', []) }),
  replay: null,
};
