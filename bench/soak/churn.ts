/** Clients that come, do something with a session, and go again: in order, by vanishing, or by being cancelled. */
import pg from 'pg';

/** What a session does, with a number of its own; afterwards nobody else can tell. */
const DEEDS: readonly ((client: pg.Client, own: number) => Promise<unknown>)[] = [
  (client) => client.query('select 1'),
  async (client, own) => {
    await client.query('create temp table t (id int primary key, note text)');
    await client.query(`insert into t select g, repeat('x', 200) from generate_series(1, 200) g`);
    await client.query({ name: 'q', text: 'select count(*) from t where id > $1', values: [own % 200] });
  },
  async (client) => {
    await client.query(
      'begin; declare c scroll cursor with hold for select * from generate_series(1, 500) g; commit',
    );
    await client.query('fetch 100 from c');
  },
  async (client, own) => {
    await client.query(`listen news_${own % 7}`);
    await client.query(`notify news_${own % 7}, 'x'`);
  },
  async (client, own) => {
    await client.query('select pg_advisory_lock($1)', [own]);
    await client.query(`set work_mem = '${4 + (own % 5)}MB'`);
  },
  // More than work_mem: a temporary file of the engine.
  (client) => client.query('select count(*) from (select g from generate_series(1, 200000) g order by -g) s'),
  (client) => client.query(`select g, repeat('y', 100) from generate_series(1, 5000) g`),
  (client) => client.query('select 1 / 0').catch(expected('22012')),
  async (client) => {
    await client.query('begin');
    await client.query('select no_such_column').catch(expected('42703'));
    await client.query('rollback');
  },
  (client) => client.query(`set statement_timeout = '20ms'; select pg_sleep(5)`).catch(expected('57014')),
];

const expected =
  (code: string) =>
  (error: Error & { code?: string }): void => {
    if (error.code !== code) throw error;
  };

export class Churn {
  #sessions = 0;
  #running = true;
  #resume: (() => void) | null = null;
  #paused: Promise<void> = Promise.resolve();
  readonly #failures: string[];
  readonly #workers: readonly { done: Promise<void>; idle: boolean }[];

  /** `failures` gets what nobody expected. */
  constructor(url: string, clients: number, failures: string[]) {
    this.#failures = failures;
    this.#workers = Array.from({ length: clients }, () => {
      const worker = { idle: false, done: Promise.resolve() };
      worker.done = this.#work(url, worker);
      return worker;
    });
  }

  get sessions(): number {
    return this.#sessions;
  }

  get isQuiet(): boolean {
    return this.#workers.every(({ idle }) => idle);
  }

  pause(): void {
    this.#paused = new Promise((resolve) => (this.#resume = resolve));
  }

  goOn(): void {
    this.#resume?.();
  }

  async stop(): Promise<void> {
    this.#running = false;
    this.goOn();
    await Promise.all(this.#workers.map(({ done }) => done));
  }

  async #work(url: string, worker: { idle: boolean }): Promise<void> {
    while (this.#running) {
      worker.idle = true;
      await this.#paused;
      worker.idle = false;
      const own = ++this.#sessions;
      await this.#session(url, own).catch((error: Error & { code?: string }) => {
        this.#failures.push(`session ${own}: ${error.message} (${error.code ?? 'no code'})`);
      });
    }
  }

  async #session(url: string, own: number): Promise<void> {
    const client = new pg.Client({ connectionString: url });
    client.on('error', () => undefined);
    await client.connect();
    for (let i = 0; i < 1 + (own % 3); i++) await DEEDS[(own + i * 3) % DEEDS.length]?.(client, own);
    // One in five vanishes in the middle of a statement.
    if (own % 5 !== 0) return client.end();
    void client.query('select pg_sleep(10)').catch(() => undefined);
    (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
  }
}
