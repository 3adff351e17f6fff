/** What the virtual database `dbproxy` can be asked, in the manner of PgBouncer's console: one statement, one table. */
import type { ProxyStatus, ProxyView } from '../control-api.js';

/** OIDs of types (catalog/pg_type.dat); all values travel as text. */
const TEXT = 25;
const INT8 = 20;
const FLOAT8 = 701;

type Value = string | number | null;

export interface Table {
  readonly columns: readonly { readonly name: string; readonly type: number }[];
  readonly rows: readonly (readonly Value[])[];
}

/** What this process says, and after it the others, if there are several. */
export type Views = readonly [own: ProxyView, ...others: ProxyView[]];

/** `table`: a result; `tag`: of a statement that has none; `error`: of one that is not known here. */
export type Answer =
  | { readonly kind: 'table'; readonly table: Table }
  | { readonly kind: 'tag'; readonly tag: string }
  | { readonly kind: 'empty' }
  | { readonly kind: 'error'; readonly sqlstate: string; readonly message: string; readonly hint: string };

interface Show {
  readonly help: string;
  readonly columns: Readonly<Record<string, number>>;
  rows(views: Views): Value[][];
}

const SHOWS: Readonly<Record<string, Show>> = {
  SESSIONS: {
    help: 'clients: who they are, where they are served, how often they have moved',
    columns: {
      ...{ id: INT8, user: TEXT, database: TEXT, application: TEXT, client: TEXT, tls: TEXT, engine: TEXT },
      ...{
        state: TEXT,
        transaction: TEXT,
        backend_pid: INT8,
        moves: INT8,
        last_move_ms: FLOAT8,
        held_ms: FLOAT8,
      },
      ...{ connected_at: TEXT },
    },
    rows: (views) =>
      snapshotsOf(views).map((each) => [
        ...[each.id, each.user, each.database, each.application, each.client, each.tls ?? null, each.engine],
        ...[each.state, each.txStatus, each.backendPid, each.moves, each.lastMoveMs, each.heldMs],
        each.connectedAt,
      ]),
  },
  ENGINES: {
    help: 'the engine that serves, and the one that sessions are moving to',
    columns: { id: TEXT, role: TEXT, address: TEXT, sessions: INT8 },
    rows: (views) => {
      const { primary, target } = views[0].status;
      const sessions = snapshotsOf(views);
      const listed = [
        { role: 'primary', engine: primary },
        { role: 'target', engine: target?.id === primary?.id ? null : target },
      ];
      return listed.flatMap(({ role, engine }) =>
        engine === null
          ? []
          : [
              [
                engine.id,
                role,
                addressOf(engine.access),
                sessions.filter((each) => each.engine === engine.id).length,
              ],
            ],
      );
    },
  },
  STATS: {
    help: 'this proxy process, and its totals',
    columns: { name: TEXT, value: TEXT },
    rows: ([{ status }]) => {
      const { pid, version, generation, gate, sessions, held, tunnels, totals } = status;
      const figures = {
        ...{ pid, version, generation, gate, sessions, held, tls_clients: tunnels ?? 0 },
        ...{ total_sessions: totals.sessions, total_moves: totals.moves, failed_logins: totals.failedLogins },
        ...{ memory_bytes: process.memoryUsage.rss(), uptime_seconds: Math.round(process.uptime()) },
      };
      return Object.entries(figures).map(([name, value]) => [name, String(value)]);
    },
  },
  PROXIES: {
    help: 'the proxy processes that serve this port',
    columns: {
      ...{ pid: INT8, version: TEXT, generation: INT8, gate: TEXT, sessions: INT8, held: INT8 },
      ...{ total_sessions: INT8, total_moves: INT8, failed_logins: INT8, answers_here: TEXT },
    },
    rows: (views) =>
      views.map(({ status: { pid, version, generation, gate, sessions, held, totals } }, index) => [
        ...[pid, version, generation, gate, sessions, held],
        ...[totals.sessions, totals.moves, totals.failedLogins, index === 0 ? 'yes' : 'no'],
      ]),
  },
  MOVES: {
    help: 'the last moves of the sessions that are here',
    columns: { at: TEXT, session: INT8, from: TEXT, to: TEXT, held_ms: FLOAT8 },
    rows: (views) =>
      views
        .flatMap(({ moves }) => moves)
        .sort((a, b) => a.at.localeCompare(b.at))
        .map(({ at, session, from, to, heldMs }) => [at, session, from, to, heldMs]),
  },
  VERSION: {
    help: 'of this proxy process',
    columns: { version: TEXT },
    rows: ([{ status }]) => [[`dbproxy ${status.version}`]],
  },
  HELP: {
    help: 'this',
    columns: { command: TEXT, shows: TEXT },
    rows: () => Object.entries(SHOWS).map(([name, { help }]) => [`SHOW ${name}`, help]),
  },
};

/** One statement; its `;` may be missing. */
export const answer = (sql: string, views: Views): Answer => {
  const words = sql
    .replace(/\s+/g, ' ')
    .replace(/[\s;]+$/, '')
    .trim();
  if (words === '') return { kind: 'empty' };
  const [, name = ''] = /^show (\w+)$/i.exec(words) ?? (/^help$/i.test(words) ? ['', 'HELP'] : []);
  const show = Object.hasOwn(SHOWS, name.toUpperCase()) ? SHOWS[name.toUpperCase()] : undefined;
  if (show) {
    const columns = Object.entries(show.columns).map(([column, type]) => ({ name: column, type }));
    return { kind: 'table', table: { columns, rows: show.rows(views) } };
  }
  // Drivers say it when they connect. There is nothing here that it could change.
  if (/^set \w+ ?(=|to) ?[^;]+$/i.test(words)) return { kind: 'tag', tag: 'SET' };
  const message = `"${words.length > 60 ? `${words.slice(0, 59)}…` : words}" is nothing that database "dbproxy" knows`;
  return { kind: 'error', sqlstate: '42601', message, hint: 'SHOW HELP; data is in the other databases' };
};

const snapshotsOf = (views: Views): ProxyView['snapshots'] =>
  views.flatMap(({ snapshots }) => snapshots).sort((a, b) => a.id - b.id);

const addressOf = (access: NonNullable<ProxyStatus['primary']>['access']): string =>
  access.kind === 'socket' ? `${access.directory}/.s.PGSQL.${access.port}` : `${access.host}:${access.port}`;
