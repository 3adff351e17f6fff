/** The clients of a cell: writers whose every statement is on record with its fate, and a session that holds state. */
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { until } from '../control/live.js';
import { withPg } from '../support/clients.js';
import type { Rows, Statement } from './judge.js';

const WRITERS = 4;
export const CLIENTS = WRITERS + 1;
/** A client that has not been answered by then is stuck. */
const STUCK_MS = 30_000;
const CONNECT_MS = 10_000;
/** Between two statements: one of each client is under way most of the time all the same, when somebody is hit. */
const PAUSE_MS = 20;

let lastId = 0;

export class Load {
  readonly #url: string;
  readonly #firstId = lastId + 1;
  readonly #writers: readonly Writer[];
  readonly #holder: Holder;

  private constructor(url: string, holder: Holder, paddingBytes: number) {
    this.#url = url;
    this.#holder = holder;
    this.#writers = Array.from({ length: WRITERS }, (_, n) => new Writer(url, n % 2 === 0, paddingBytes));
  }

  /** `paddingBytes`: of WAL beside each row. */
  static async start(url: string, paddingBytes = 0): Promise<Load> {
    await withPg(url, (client) => client.query('create table if not exists written (id bigint)'));
    return new Load(url, await Holder.open(url), paddingBytes);
  }

  get statements(): readonly Statement[] {
    return this.#writers.flatMap(({ statements }) => statements);
  }

  /** Sessions that ended without having been told to. */
  get lost(): number {
    return [...this.#writers, this.#holder].filter(({ isLost }) => isLost).length;
  }

  /** How many writers have not committed anything that they sent after now when the bound has passed: 0, and long before it. */
  async stuck(): Promise<number> {
    const sinceMs = performance.now();
    const isStuck = ({ statements }: Writer): boolean =>
      !statements.some(({ fate, sentMs }) => fate === 'acknowledged' && sentMs > sinceMs);
    const count = (): number => this.#writers.filter(isStuck).length;
    await until('every writer goes on', () => count() === 0, STUCK_MS).catch(() => undefined);
    return count();
  }

  /** Ends it. Returns what is wrong with the sessions; what is still pending then stays so on record. */
  async stop(): Promise<string[]> {
    const stuck = await this.stuck();
    const found = await this.#holder.check();
    await Promise.all([...this.#writers, this.#holder].map((client) => client.stop()));
    return [...(stuck === 0 ? [] : [`${stuck} clients do not go on`]), ...found];
  }

  async rows(): Promise<Rows> {
    return withPg(this.#url, async (client) => {
      const { rows } = await client.query<{ id: string; times: number }>(
        'select id, count(*)::int as times from written where id >= $1 group by id',
        [this.#firstId],
      );
      return new Map(rows.map(({ id, times }) => [Number(id), times]));
    });
  }
}

/** Inserts id after id, one connection after the other. */
class Writer {
  readonly statements: Statement[] = [];
  isLost = false;
  readonly #url: string;
  readonly #isPrepared: boolean;
  readonly #paddingBytes: number;
  #client: pg.Client | null = null;
  #isStopped = false;
  readonly #done: Promise<void>;

  constructor(url: string, isPrepared: boolean, paddingBytes: number) {
    this.#url = url;
    this.#isPrepared = isPrepared;
    this.#paddingBytes = paddingBytes;
    this.#done = this.#run();
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      await this.#step().catch(() => this.#lose());
      await delay(PAUSE_MS);
    }
  }

  async #step(): Promise<void> {
    this.#client ??= await connect(this.#url);
    const statement: Statement = { id: ++lastId, fate: 'pending', sentMs: performance.now() };
    this.statements.push(statement);
    try {
      const { rows } = await this.#client.query<{ engine: string }>(this.#insert(statement.id));
      statement.engine = rows[0]?.engine ?? '';
      statement.fate = 'acknowledged';
    } catch (error) {
      statement.fate = isRolledBack(error) ? 'failed' : 'unknown';
      if (statement.fate === 'unknown') throw error;
    } finally {
      statement.settledMs = performance.now();
    }
  }

  /** The server says which it is in the same statement. */
  #insert(id: number): pg.QueryConfig {
    const padding = `pg_logical_emit_message(true, 'padding', repeat('x', ${this.#paddingBytes}))`;
    const returning = `returning current_setting('data_directory') as engine${this.#paddingBytes > 0 ? `, ${padding}` : ''}`;
    return this.#isPrepared
      ? { name: 'put', text: `insert into written values ($1) ${returning}`, values: [id] }
      : { text: `insert into written values (${id}) ${returning}` };
  }

  /** What comes next is on a new connection. */
  #lose(): void {
    if (this.#client) this.isLost = true;
    if (this.#client) destroy(this.#client);
    this.#client = null;
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.race([this.#done, delay(CONNECT_MS)]);
    const last = this.statements.at(-1);
    // That it ends now is our doing.
    if (last?.fate === 'pending') this.statements[this.statements.length - 1] = { ...last };
    if (this.#client) destroy(this.#client);
  }
}

/** A session with something of each kind that only its backend has. */
class Holder {
  readonly #client: pg.Client;
  isLost = false;

  private constructor(client: pg.Client) {
    this.#client = client;
    client.on('error', () => (this.isLost = true));
    client.on('end', () => (this.isLost = true));
  }

  static async open(url: string): Promise<Holder> {
    const client = await connect(url);
    const holder = new Holder(client);
    await client.query('create temp table mine as select g from generate_series(1, 7) g');
    await client.query(`select pg_advisory_lock(4711)`);
    await client.query(`set app.kept = 'yes'`);
    await client.query({ name: 'sum', text: 'select sum(g)::int + $1::int as n from mine', values: [0] });
    return holder;
  }

  /** Either it is told that it has ended, or everything is there. */
  async check(): Promise<string[]> {
    if (this.isLost) return [];
    try {
      const found = await Promise.race([this.#look(), delay(STUCK_MS)]);
      if (found === undefined) return ['the session that holds state is stuck'];
      return found === '28 yes 1' ? [] : [`a session goes on without its state: ${found}`];
    } catch (error) {
      if (isRolledBack(error)) return [`a session goes on without its state: ${String(error)}`];
      this.isLost = true;
      return [];
    }
  }

  async #look(): Promise<string> {
    const sum = await this.#client.query<{ n: number }>({ name: 'sum', text: '', values: [0] });
    const { rows } = await this.#client.query<{ kept: string; locks: number }>(
      `select current_setting('app.kept') as kept,
       (select count(*)::int from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) as locks`,
    );
    return `${sum.rows[0]?.n} ${rows[0]?.kept} ${rows[0]?.locks}`;
  }

  stop(): Promise<void> {
    this.#client.removeAllListeners('end');
    destroy(this.#client);
    return Promise.resolve();
  }
}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: CONNECT_MS });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

/** Nobody waits for the other end. */
function destroy(client: pg.Client): void {
  void client.end().catch(() => undefined);
  (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
}

/** An ERROR ends the statement, and the server has undone it. A FATAL one ends the connection, and says nothing of it. */
const isRolledBack = (error: unknown): boolean =>
  error instanceof pg.DatabaseError && error.severity === 'ERROR';
