/** The connection that applies, another one that looks on meanwhile, and what is known of the first: tables, and prepared statements. */
import type { ClientBase } from 'pg';
import { type Ask, inTurn } from './in-turn.js';
import type { Step } from './pipeline.js';

interface Table {
  /** 0: there is none of that name. */
  readonly oid: number;
  /** Rows of it bring a client's functions to run. */
  readonly runsCode: boolean;
}

export class ApplyingSession {
  readonly connection: ClientBase;
  /** On the other one. */
  readonly ask: Ask;
  readonly pid: number;
  /** By the names that entries have for them. */
  readonly #tables = new Map<string, Table>();
  readonly #prepared = new Set<string>();

  /** `connection`: a superuser's, which does nothing else. */
  private constructor(connection: ClientBase, watcher: ClientBase) {
    this.connection = connection;
    this.ask = inTurn(watcher);
    this.pid = pidOf(connection);
  }

  static async on(connection: ClientBase, watcher: ClientBase): Promise<ApplyingSession> {
    await connection.query('set session authorization dbproxy_apply');
    await connection.query(`select dbproxy.prepare_applier()`);
    return new ApplyingSession(connection, watcher);
  }

  /** As it was found last. */
  async table(name: string): Promise<Table> {
    return this.#tables.get(name) ?? (await this.#find(name));
  }

  async #find(name: string): Promise<Table> {
    const { rows } = await this.connection.query<{ oid: number | null; runs_code: boolean }>(
      `select t as oid, exists (select from dbproxy.running_code where rel operator(pg_catalog.=) t) as runs_code from (select pg_catalog.to_regclass($1)::pg_catalog.oid) found(t)`,
      [name],
    );
    const found = { oid: rows[0]?.oid ?? 0, runsCode: rows[0]?.runs_code ?? false };
    this.#tables.set(name, found);
    return found;
  }

  /** Prepared where it is sent for the first time. */
  step(name: string, text: string, values: Step['values']): Step {
    if (this.#prepared.has(name)) return { name, values };
    this.#prepared.add(name);
    return { name, text, values };
  }

  /** What a table is called may change with whatever is not a row, and had changed where rows did not fit. */
  async forget(): Promise<void> {
    this.#tables.clear();
    if (this.#prepared.size === 0) return;
    await this.connection.query('deallocate all');
    this.#prepared.clear();
  }
}

/** Set by the server when it was connected; the types of `pg` do not tell. */
const pidOf = (connection: ClientBase): number => (connection as unknown as { processID: number }).processID;
