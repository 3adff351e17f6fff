/**
 * Row 13: session-level advisory locks; recognised, not moved yet. At a safe point no transaction-level ones are left.
 * While sessions are held, one query of the gate finds the holders among all of them, which is cheaper (gate.ts).
 */
import type { Rows } from './channel.js';
import type { StateKindModule } from './kind.js';
import { listed } from './kind.js';

export const advisoryLocks: StateKindModule<number> = {
  none: 0,
  *read({ thorough }) {
    if (!thorough) return 0;
    const rows: Rows = yield {
      select: [
        `(select pg_catalog.count(*) from pg_catalog.pg_lock_status()
           where locktype = 'advisory' and pid = pg_catalog.pg_backend_pid())`,
      ],
    };
    return Number(rows[0]?.[0] ?? 0);
  },
  summarize: (count) => (count === 0 ? null : { count, detail: listed(count, 'advisory lock', []) }),
  replay: null,
};
