/** Sessions that are connected and do nothing, beside those at work: each holds a prepared statement, and has it after the switches. */
import pg from 'pg';
import { fewAtATime } from '../../src/proxy/few-at-a-time.js';

/** Logins at a time. */
const AT_ONCE = 20;

export class IdleSessions {
  readonly #clients: readonly pg.Client[];
  #lost = 0;

  private constructor(clients: readonly pg.Client[]) {
    this.#clients = clients;
    for (const client of clients) client.on('error', () => this.#lost++);
  }

  static async open(url: string, count: number): Promise<IdleSessions> {
    const clients = Array.from({ length: count }, () => new pg.Client({ connectionString: url }));
    await fewAtATime(clients.entries(), AT_ONCE, async ([own, client]) => {
      await client.connect();
      await client.query(`prepare own (int) as select $1 + ${own}`);
    });
    return new IdleSessions(clients);
  }

  /** How many have lost their connection or what they held. Closes them. */
  async lost(): Promise<number> {
    const answers = await Promise.all(
      this.#clients.map((client, own) =>
        client.query<{ n: number }>('execute own (1)').then(
          ({ rows }) => Object.values(rows[0] ?? {})[0] === own + 1,
          () => false,
        ),
      ),
    );
    await Promise.all(this.#clients.map((client) => client.end().catch(() => undefined)));
    return Math.max(this.#lost, answers.filter((right) => !right).length);
  }
}
