/** The proxy's own connection to an engine, as its superuser: verifiers, names of settings, promotion. */
import { readFile } from 'node:fs/promises';
import { ownSettings } from '../own-settings.js';
import { OF_A_TRANSACTION, arrayLiteral } from '../session-state/index.js';
import type { EngineRoute } from './control-api.js';
import { EngineConnection, EngineLoginError, EngineLostError } from './engine-connection.js';
import type { LeftBackend } from './group/backends.js';
import type { LinkFactory } from './link.js';

export interface RoleSecret {
  /** `rolpassword`; null: no password. */
  readonly verifier: string | null;
  /** `rolvaliduntil` has passed. */
  readonly expired: boolean;
}

/** How far the clock of an engine may be from ours; no pid is given out again that soon. */
const CLOCKS_DIFFER_S = 5;

/** application_name of our own connections; they are hidden from users. */
export const OWN_APPLICATION = 'dbproxy';

export class EngineAdmin {
  readonly engine: EngineRoute;
  readonly #links: LinkFactory;
  #connection: Promise<EngineConnection> | null = null;
  #settableNames: Promise<string> | null = null;
  #closed = false;

  constructor(links: LinkFactory, engine: EngineRoute) {
    this.#links = links;
    this.engine = engine;
  }

  /** Opens the connection ahead of its first use. */
  async warm(): Promise<void> {
    await this.#open();
    await this.settableNames();
  }

  /** A refusal is an answer, too. */
  async isReachable(): Promise<boolean> {
    try {
      await this.#open();
      return true;
    } catch (error) {
      if (error instanceof EngineLoginError) return true;
      if (error instanceof EngineLostError) return false;
      throw error;
    }
  }

  /** The password verifier of a role as it is now; null: no such role. */
  async roleSecret(user: string): Promise<RoleSecret | null> {
    const rows = await this.#query(
      `select rolpassword, coalesce(rolvaliduntil < pg_catalog.now(), false) from pg_catalog.pg_authid where rolname = $1`,
      [user],
    );
    const [row] = rows;
    return row ? { verifier: row[0] ?? null, expired: row[1] === 't' } : null;
  }

  /** Names of all settings that a session can set and everybody may read, as an array literal. */
  settableNames(): Promise<string> {
    this.#settableNames ??= this.#query(
      `select name from pg_catalog.pg_settings where context in ('user', 'superuser')
         and name not in ${OF_A_TRANSACTION} and name not in (${HIDDEN_FROM_MOST})`,
    ).then((rows) => arrayLiteral(rows.map(([name]) => name ?? '')));
    this.#settableNames.catch(() => (this.#settableNames = null));
    return this.#settableNames;
  }

  /** Backends that hold a session-level advisory lock. */
  async advisoryLockHolders(): Promise<ReadonlySet<number>> {
    const rows = await this.#query(
      `select distinct pid from pg_catalog.pg_lock_status() where locktype = 'advisory' and pid is not null`,
    );
    return new Set(rows.map(([pid]) => Number(pid)));
  }

  /** Backends that wait for an advisory lock, and those that they wait for. */
  async advisoryLockWaits(): Promise<ReadonlyMap<number, readonly number[]>> {
    const rows = await this.#query(
      `select pid, pg_catalog.array_to_string(pg_catalog.pg_blocking_pids(pid), ',')
       from pg_catalog.pg_lock_status() where locktype = 'advisory' and not granted`,
    );
    return new Map(rows.map(([pid, blocking]) => [Number(pid), (blocking ?? '').split(',').map(Number)]));
  }

  /**
   * Why a login of `user` to `database` would be refused now, in the words of PostgreSQL (postinit.c), its number of
   * connections apart; null: it would not be.
   */
  async whyRefused(user: string, database: string): Promise<string | null> {
    const rows = await this.#query(
      `select case
           when d.oid is null then pg_catalog.format('database "%s" does not exist', $2)
           when r.oid is null then pg_catalog.format('role "%s" does not exist', $1)
           when not r.rolcanlogin then pg_catalog.format('role "%s" is not permitted to log in', $1)
           when not d.datallowconn then pg_catalog.format('database "%s" is not currently accepting connections', $2)
           when not pg_catalog.has_database_privilege(r.oid, d.oid, 'connect')
             then pg_catalog.format('permission denied for database "%s"', $2)
         end
       from (select $1::pg_catalog.text as rolname, $2::pg_catalog.text as datname) asked
         left join pg_catalog.pg_roles r using (rolname) left join pg_catalog.pg_database d using (datname)`,
      [user, database],
    );
    return rows[0]?.[0] ?? null;
  }

  /** Of sessions whose process has gone: in the middle of a statement a backend does not look whether its client is there. */
  async endBackends(pids: readonly number[]): Promise<void> {
    await this.#query(
      `select pg_catalog.pg_terminate_backend(pid) from pg_catalog.pg_stat_activity
       where backend_type = 'client backend' and pid = any ($1)`,
      [`{${pids.join(',')}}`],
    );
  }

  /** As `endBackends`, long after they were known. */
  async endLeftBackends(backends: readonly LeftBackend[]): Promise<void> {
    const columns = [
      backends.map(({ pid }) => pid),
      backends.map(({ knownAtS }) => knownAtS + CLOCKS_DIFFER_S),
    ];
    await this.#query(
      `select pg_catalog.pg_terminate_backend(a.pid)
       from rows from (pg_catalog.unnest($1::int4[]), pg_catalog.unnest($2::float8[])) as l (pid, until)
         join pg_catalog.pg_stat_activity a on a.pid = l.pid and extract(epoch from a.backend_start) <= l.until
       where backend_type = 'client backend'`,
      columns.map((values) => `{${values.join(',')}}`),
    );
  }

  async isInRecovery(): Promise<boolean> {
    const rows = await this.#query('select pg_catalog.pg_is_in_recovery()');
    return rows[0]?.[0] === 't';
  }

  async promote(): Promise<void> {
    const connection = await this.#open();
    await connection.query('select pg_catalog.pg_promote(false)');
  }

  /** For good. */
  close(): void {
    this.#closed = true;
    void this.#connection?.then((connection) => connection.close()).catch(() => undefined);
    this.#connection = null;
  }

  /** For what only reads: a connection that was lost since it was used last is found out by asking, and another one is asked. */
  async #query(sql: string, values: readonly string[] = []): ReturnType<EngineConnection['query']> {
    const connection = await this.#open();
    return connection.query(sql, values).catch(async (error: unknown) => {
      if (!(error instanceof EngineLostError)) throw error;
      return (await this.#open()).query(sql, values);
    });
  }

  async #open(): Promise<EngineConnection> {
    const known = this.#connection;
    const current = await known?.catch(() => null);
    // Somebody else has seen it, too, and opens another one: there is one for all.
    if (this.#connection !== known && this.#connection) return this.#connection;
    if (current && !current.isLost) return current;
    if (this.#closed) throw new EngineLostError(`engine ${this.engine.id} is not asked any more`);
    this.#connection = this.#connect();
    return this.#connection;
  }

  async #connect(): Promise<EngineConnection> {
    const parameters = new Map([
      ['user', this.engine.superuser],
      ['database', 'postgres'],
      ['application_name', OWN_APPLICATION],
      ['client_encoding', 'UTF8'],
      ['options', ownSettings(this.engine.postgres)],
    ]);
    const { superuserPasswordFile } = this.engine;
    const secret =
      superuserPasswordFile === undefined
        ? null
        : { password: (await readFile(superuserPasswordFile, 'utf8')).trimEnd() };
    return EngineConnection.open(this.#links, this.engine, parameters, secret);
  }
}

/** GUC_SUPERUSER_ONLY settings that a superuser can set in a session: reading one raises an error for others. */
const HIDDEN_FROM_MOST = ['dynamic_library_path', 'extension_control_path', 'session_preload_libraries']
  .map((name) => `'${name}'`)
  .join(', ');
