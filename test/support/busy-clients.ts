/** Clients that keep backends at work: each asks for something that takes a cpu, again and again, on one connection. */
import pg from 'pg';

/** Some milliseconds of CPU, in one backend. */
const WORK = 'select count(*) as n from generate_series(1, 60000)';

export class BusyClients {
  readonly #clients: readonly pg.Client[];
  readonly #working: Promise<void>[];
  #isStopped = false;
  answers = 0;

  private constructor(clients: readonly pg.Client[]) {
    this.#clients = clients;
    this.#working = clients.map((client) => this.#work(client));
    for (const work of this.#working) work.catch(() => undefined);
  }

  static async start(url: string, count: number): Promise<BusyClients> {
    const clients = Array.from({ length: count }, () => new pg.Client({ connectionString: url }));
    for (const client of clients) client.on('error', () => undefined);
    await Promise.all(clients.map((client) => client.connect()));
    return new BusyClients(clients);
  }

  /** Ends the load; throws what any of them noticed. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#working);
    await Promise.all(this.#clients.map((client) => client.end()));
  }

  async #work(client: pg.Client): Promise<void> {
    while (!this.#isStopped) {
      const { rows } = await client.query<{ n: string }>(WORK);
      if (rows[0]?.n !== '60000') throw new Error(`a wrong answer: ${JSON.stringify(rows)}`);
      this.answers++;
    }
  }
}
