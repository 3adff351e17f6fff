/** Clients as applications are: each on one writer, a transaction at a time, and another try after 40001. */
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { DbproxyError } from '../errors/index.js';
import type { WriterSummary } from '../control/api.js';
import type { ClientError } from './types.js';

const CONNECT_BOUND_MS = 10_000;
/** A commit waits for the primary at most, which may be a new one. */
const STATEMENT_BOUND_MS = 30_000;
/** More tries than that are no bad luck. */
const MOST_TRIES = 500;
const LONGEST_PAUSE_MS = 40;

const RETRY = '40001';

/** What a scene counts. */
export class Tally {
  transactions = 0;
  committed = 0;
  conflicts = 0;
  retries = 0;
  readonly commitMs: number[] = [];
  clientSaw: ClientError | null = null;

  note(error: ClientError): void {
    this.conflicts++;
    this.clientSaw ??= error;
  }
}

export type Ended =
  { readonly outcome: 'committed' } | { readonly outcome: 'failed'; readonly error: ClientError };

export class WriterClient {
  readonly writer: string;
  readonly #client: pg.Client;
  readonly #tally: Tally;

  private constructor(writer: string, client: pg.Client, tally: Tally) {
    this.writer = writer;
    this.#client = client;
    this.#tally = tally;
  }

  /** Whatever it waits for ends when `gone` is aborted. Throws DBP_CONFLICT_CLIENT. */
  static async open(
    { id, url }: Pick<WriterSummary, 'id' | 'url'>,
    tally: Tally,
    gone: AbortSignal,
  ): Promise<WriterClient> {
    const client = new pg.Client({
      connectionString: url,
      application_name: 'dbproxy conflict',
      connectionTimeoutMillis: CONNECT_BOUND_MS,
      query_timeout: STATEMENT_BOUND_MS,
    });
    client.on('error', () => undefined);
    try {
      await client.connect();
    } catch (cause) {
      throw new DbproxyError(
        'DBP_CONFLICT_CLIENT',
        { writer: id, reason: (cause as Error).message },
        { cause },
      );
    }
    const opened = new WriterClient(id, client, tally);
    gone.addEventListener('abort', () => void opened.close());
    if (gone.aborted) await opened.close();
    return opened;
  }

  close(): Promise<void> {
    return this.#client.end().catch(() => undefined);
  }

  /** One statement, outside of what is counted. Throws DBP_CONFLICT_CLIENT. */
  async query<Row extends pg.QueryResultRow>(sql: string, params: readonly unknown[] = []): Promise<Row[]> {
    try {
      return (await this.#client.query<Row>(sql, [...params])).rows;
    } catch (cause) {
      throw new DbproxyError(
        'DBP_CONFLICT_CLIENT',
        { writer: this.writer, reason: (cause as Error).message },
        { cause },
      );
    }
  }

  /** One try. `together`: waited for between the last statement and COMMIT. Throws what is no error of SQL. */
  async attempt(statements: readonly Statement[], together?: () => Promise<void>): Promise<Ended> {
    this.#tally.transactions++;
    try {
      await this.#client.query('begin');
      for (const { sql, params = [] } of statements) await this.#client.query(sql, [...params]);
      await together?.();
      const sentMs = performance.now();
      await this.#client.query('commit');
      this.#tally.commitMs.push(performance.now() - sentMs);
      this.#tally.committed++;
      return { outcome: 'committed' };
    } catch (thrown) {
      // A barrier that nobody comes to any more would hold the others.
      await together?.();
      const error = this.#errorOf(thrown);
      if (error.sqlstate === RETRY) this.#tally.note(error);
      // What ends the session (its engine died) is an error of SQL, too.
      await this.#client.query('rollback').catch((cause: unknown) => {
        throw new DbproxyError(
          'DBP_CONFLICT_CLIENT',
          { writer: this.writer, reason: error.message },
          { cause },
        );
      });
      return { outcome: 'failed', error };
    }
  }

  /** Tries until it commits, as an application has to. Another error than 40001 ends it. */
  async persist(statements: readonly Statement[], signal: AbortSignal): Promise<Ended> {
    for (let tries = 1; ; tries++) {
      const ended = await this.attempt(statements);
      if (ended.outcome === 'committed' || ended.error.sqlstate !== RETRY) return ended;
      if (signal.aborted || tries >= MOST_TRIES) return ended;
      this.#tally.retries++;
      // At random, so that two that collided do not meet again at once.
      await delay(Math.random() * Math.min(LONGEST_PAUSE_MS, 2 ** Math.min(tries, 6)));
    }
  }

  #errorOf(thrown: unknown): ClientError {
    const { code, message, detail = '', hint = '' } = thrown as pg.DatabaseError;
    if (!(thrown instanceof pg.DatabaseError) || code === undefined)
      throw new DbproxyError(
        'DBP_CONFLICT_CLIENT',
        { writer: this.writer, reason: String(message) },
        { cause: thrown },
      );
    return { writer: this.writer, sqlstate: code, message, detail, hint };
  }
}

export interface Statement {
  readonly sql: string;
  readonly params?: readonly unknown[];
}

/** All go on when the last one has come. Each may come again: it is not counted twice. */
export function barrier(count: number): (name: string) => () => Promise<void> {
  const come = new Set<string>();
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return (name) => async () => {
    come.add(name);
    if (come.size >= count) open();
    await opened;
  };
}
