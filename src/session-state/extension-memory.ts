/**
 * Row 19: what lives in a backend's memory and cannot be read. dblink's connections can be listed; session-wide variables
 * of PL/Perl, PL/Python and PL/Tcl cannot, but without their language there are none. Looked for by `check` and before
 * a switch, not while sessions are held.
 */
import type { Rows } from './channel.js';
import type { StateKindModule } from './kind.js';
import { listed } from './kind.js';

export const extensionMemory: StateKindModule<readonly string[]> = {
  none: [],
  *read({ thorough }, previous) {
    if (!thorough) return previous ?? [];
    const rows: Rows = yield {
      sql: `select pg_catalog.quote_ident(n.nspname) from pg_catalog.pg_extension e
      join pg_catalog.pg_namespace n on n.oid = e.extnamespace where e.extname = 'dblink'`,
    };
    const schema = rows[0]?.[0];
    if (schema === undefined) return [];
    const connections: Rows = yield { sql: `select pg_catalog.unnest(${schema}.dblink_get_connections())` };
    return connections.map(([name]) => name ?? '');
  },
  summarize: (names) =>
    names.length === 0
      ? null
      : { count: names.length, detail: listed(names.length, 'dblink connection', names) },
  replay: null,
};
