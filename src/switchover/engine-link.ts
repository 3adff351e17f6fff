/**
 * A kept superuser connection to an engine, with its queries prepared: between hold and move every round trip counts.
 * Opened and used once before anybody is held, so that neither the login, nor the catalog caches, nor planning are in the
 * stall.
 */
import type { Client } from 'pg';
import { connectAdmin } from '../engine/index.js';
import type { EngineRecord } from '../engine/types.js';
import { DbproxyError } from '../errors/index.js';

const QUERY_BOUND_MS = 10_000;

/** A query that is prepared on first use, under its name. */
export interface NamedQuery {
  readonly name: string;
  readonly text: string;
}

/** The fence message must be flushed or the standby is not sent it; it need not wait for a synchronous standby of the user. */
const FLUSH_OUR_COMMITS: NamedQuery = { name: '', text: 'set synchronous_commit = local' };

export class EngineLink {
  readonly engine: EngineRecord;
  readonly #client: Client;
  #lost: Error | null = null;
  /** Aborted when the connection is lost: whoever waits for something else can stop waiting. */
  readonly #gone = new AbortController();

  private constructor(engine: EngineRecord, client: Client) {
    this.engine = engine;
    this.#client = client;
    client.on('error', (error) => this.#lose(error));
    client.on('end', () => this.#lose(new Error('the connection was closed')));
  }

  /** Throws DBP_ENGINE_QUERY. */
  static async open(engine: EngineRecord): Promise<EngineLink> {
    const link = new EngineLink(engine, await connectAdmin(engine, { timeoutMs: QUERY_BOUND_MS }));
    try {
      await link.query(FLUSH_OUR_COMMITS);
      return link;
    } catch (error) {
      await link.close();
      throw error;
    }
  }

  get lost(): AbortSignal {
    return this.#gone.signal;
  }

  /** Throws DBP_ENGINE_LOST when the connection is gone. */
  assertAlive(): void {
    if (this.#lost) {
      throw new DbproxyError('DBP_ENGINE_LOST', { engine: this.engine.id, reason: this.#lost.message });
    }
  }

  async query<Row extends object>(query: NamedQuery, values: unknown[] = []): Promise<Row[]> {
    this.assertAlive();
    try {
      return (await this.#client.query<Row>({ ...query, values })).rows;
    } catch (cause) {
      this.assertAlive();
      throw this.#failure(cause);
    }
  }

  /** The only column of the only row. */
  async value<T>(query: NamedQuery, values: unknown[] = []): Promise<T> {
    const [row] = await this.query<Record<string, T>>(query, values);
    const [value] = Object.values(row ?? {});
    if (value === undefined) throw this.#failure(new Error(`${query.name}: no row`));
    return value;
  }

  async close(): Promise<void> {
    if (!this.#lost) await this.#client.end().catch(() => undefined);
  }

  #lose(error: Error): void {
    this.#lost ??= error;
    this.#gone.abort();
  }

  #failure(cause: unknown): DbproxyError {
    const reason = cause instanceof Error ? cause.message : String(cause);
    return new DbproxyError('DBP_ENGINE_QUERY', { engine: this.engine.id, reason }, { cause });
  }
}
