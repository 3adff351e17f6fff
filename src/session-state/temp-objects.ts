/**
 * Rows 10 and 11: temporary tables, sequences, views, functions, types and domains; recognised, not moved yet. They live in
 * the session's own schema, which exists from the first one on and stays when they are dropped.
 */
import type { Rows } from './channel.js';
import type { StateKindModule } from './kind.js';
import { listed } from './kind.js';

export const tempObjects: StateKindModule<readonly string[]> = {
  none: [],
  *read() {
    const schema: Rows = yield { select: ['pg_catalog.pg_my_temp_schema()'] };
    if ((schema[0]?.[0] ?? '0') === '0') return [];
    const rows: Rows = yield {
      sql: `select relname from pg_catalog.pg_class
        where relnamespace = pg_catalog.pg_my_temp_schema() and relkind in ('r', 'p', 'v', 'S', 'm', 'f', 'c')
      union all select proname from pg_catalog.pg_proc where pronamespace = pg_catalog.pg_my_temp_schema()
      union all select typname from pg_catalog.pg_type
        where typnamespace = pg_catalog.pg_my_temp_schema() and typrelid = 0 and typelem = 0`,
    };
    return rows.map(([name]) => name ?? '');
  },
  summarize: (names) =>
    names.length === 0
      ? null
      : { count: names.length, detail: listed(names.length, 'temporary object', names) },
  replay: null,
};
