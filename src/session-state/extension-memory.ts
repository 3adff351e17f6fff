/**
 * Row 19: what lives in a backend's memory and cannot be read. dblink's named connections can be listed: a session with some
 * does not move. Of the rest it can only be said that it may be there: session-wide variables of a procedural language
 * (%_SHARED, GD and SD, Tcl globals) where that language is installed, the position of random() after setseed(). Those do not
 * hinder a move, they are reported as lost. Looked for by `check` and before a switch, not while sessions are held.
 */
import type { Rows } from './channel.js';
import type { StateKindModule } from './kind.js';
import { listed } from './kind.js';

export interface ExtensionMemory {
  readonly connections: readonly string[];
  /** Languages installed in the database whose functions can keep variables for a session. */
  readonly languages: readonly string[];
  readonly seeded: boolean;
}

/** Those that keep nothing between calls. */
const WITHOUT_VARIABLES = `'internal', 'c', 'sql', 'plpgsql'`;

export const extensionMemory: StateKindModule<ExtensionMemory> = {
  none: { connections: [], languages: [], seeded: false },

  *read({ thorough, tracker: { seeded } }, previous) {
    if (!thorough) {
      const { connections, languages, seeded: before } = previous ?? extensionMemory.none;
      return previous && before === seeded ? previous : { connections, languages, seeded };
    }
    const installed: Rows = yield {
      sql: `select null, lanname from pg_catalog.pg_language where lanname not in (${WITHOUT_VARIABLES})
        union all select pg_catalog.quote_ident(n.nspname), null from pg_catalog.pg_extension e
          join pg_catalog.pg_namespace n on n.oid = e.extnamespace where e.extname = 'dblink'`,
    };
    const languages = installed.flatMap(([, language]) => language ?? []);
    const schema = installed.find(([dblink]) => dblink !== null)?.[0];
    const connections: Rows = schema
      ? yield { sql: `select pg_catalog.unnest(${schema}.dblink_get_connections())` }
      : [];
    return { connections: connections.map(([name]) => name ?? ''), languages, seeded };
  },

  summarize(state) {
    const count = state.connections.length + state.languages.length + Number(state.seeded);
    return count === 0 ? null : { count, detail: [dblink(state), losses(state)].filter(Boolean).join('; ') };
  },

  obstacle: (state) => dblink(state),
  mayLose: (state) => losses(state),

  // What can be there besides obstacles cannot be re-created.
  replay: () => [],
};

const dblink = ({ connections }: ExtensionMemory): string | null =>
  connections.length === 0 ? null : listed(connections.length, 'dblink connection', connections);

const losses = ({ languages, seeded }: ExtensionMemory): string | null =>
  [
    ...(seeded ? ['the position of random() after setseed()'] : []),
    ...(languages.length > 0 ? [`variables of ${languages.join(', ')}, if there are any`] : []),
  ].join('; ') || null;
