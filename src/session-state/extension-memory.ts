/**
 * Row 19: what lives in a backend's memory and cannot be read. dblink's named connections can be listed: a session with some
 * does not move. Of the rest it can only be said that it may be there: session-wide variables of a procedural language
 * (%_SHARED, GD and SD, Tcl globals) where that language is installed, the position of random() after setseed(). Those do not
 * hinder a move, they are reported as lost. What is installed is looked for by `check` and at the first look at a session; while
 * sessions are held only dblink's connections are, where it is installed.
 */
import type { Rows } from './channel.js';
import type { StateKindModule } from './kind.js';
import { listed, literal } from './kind.js';

export interface ExtensionMemory {
  readonly connections: readonly string[];
  /** Schema of dblink, quoted; null: it is not installed. */
  readonly dblink: string | null;
  /** Languages installed in the database whose functions can keep variables for a session. */
  readonly languages: readonly string[];
  readonly seeded: boolean;
}

/** Those that keep nothing between calls. */
const WITHOUT_VARIABLES = `'internal', 'c', 'sql', 'plpgsql'`;

export const extensionMemory: StateKindModule<ExtensionMemory> = {
  none: { connections: [], dblink: null, languages: [], seeded: false },

  *read({ thorough, tracker: { seeded } }, previous) {
    if (!thorough && previous) {
      const { dblink, languages } = previous;
      const found: Rows = dblink === null ? [] : yield { select: [connectionsNow(dblink)] };
      const connections = connectionsIn(found[0]?.[0] ?? '');
      const same = previous.seeded === seeded && String(previous.connections) === String(connections);
      return same ? previous : { connections, dblink, languages, seeded };
    }
    const installed: Rows = yield {
      sql: `select null, lanname from pg_catalog.pg_language where lanname not in (${WITHOUT_VARIABLES})
        union all select pg_catalog.quote_ident(n.nspname), null from pg_catalog.pg_extension e
          join pg_catalog.pg_namespace n on n.oid = e.extnamespace where e.extname = 'dblink'`,
    };
    const languages = installed.flatMap(([, language]) => language ?? []);
    const dblink = installed.find(([schema]) => schema !== null)?.[0] ?? null;
    const found: Rows = dblink === null ? [] : yield { select: [connectionsNow(dblink)] };
    return { connections: connectionsIn(found[0]?.[0] ?? ''), dblink, languages, seeded };
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

/* eslint-disable dbproxy/sql-quoting -- the schema comes quoted from the engine (quote_ident) */
/** As text in text, so that the look does not fail when the extension has been dropped meanwhile. */
const connectionsNow = (schema: string): string => {
  const query = `select pg_catalog.encode(pg_catalog.convert_to(pg_catalog.array_to_string(
    ${schema}.dblink_get_connections(), pg_catalog.chr(10)), pg_catalog.getdatabaseencoding()), 'hex') as names`;
  return `case when pg_catalog.to_regprocedure(${literal(`${schema}.dblink_get_connections()`)}) is not null
    then pg_catalog.query_to_xml(${literal(query)}, false, true, '')::pg_catalog.text end`;
};
/* eslint-enable dbproxy/sql-quoting */

const connectionsIn = (xml: string): string[] => {
  const [, hex = ''] = /<names>([0-9a-f]+)<\/names>/.exec(xml) ?? [];
  return hex === '' ? [] : Buffer.from(hex, 'hex').toString('latin1').split('\n');
};

const dblink = ({ connections }: ExtensionMemory): string | null =>
  connections.length === 0 ? null : listed(connections.length, 'dblink connection', connections);

const losses = ({ languages, seeded }: ExtensionMemory): string | null =>
  [
    ...(seeded ? ['the position of random() after setseed()'] : []),
    ...(languages.length > 0 ? [`variables of ${languages.join(', ')}, if there are any`] : []),
  ].join('; ') || null;
