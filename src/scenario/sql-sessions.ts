/** The sessions that a scenario's own statements run on: opened at their first statement, through the proxy, open to the end. */
import pg from 'pg';

const CONNECT_BOUND_MS = 10_000;
export const MAIN_SESSION = 'main';

export class SqlSessions {
  readonly #url: string;
  readonly #clients = new Map<string, pg.Client>();

  constructor(url: string) {
    this.#url = url;
  }

  /** The first column of the first row of the last statement, as text; null without one. Throws what the driver throws. */
  async run(sql: string, session = MAIN_SESSION): Promise<string | null> {
    const client = await this.#of(session);
    // Several statements answer an array of results, whatever the types say.
    const answer: unknown = await client.query({
      text: sql,
      rowMode: 'array',
      types: { getTypeParser: () => String },
    });
    const last = (Array.isArray(answer) ? answer.at(-1) : answer) as
      { rows: (string | null)[][] } | undefined;
    return last?.rows[0]?.[0] ?? null;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#clients.values()].map((client) => client.end().catch(() => {})));
  }

  async #of(session: string): Promise<pg.Client> {
    const known = this.#clients.get(session);
    if (known) return known;
    const client = new pg.Client({
      connectionString: this.#url,
      connectionTimeoutMillis: CONNECT_BOUND_MS,
      application_name: `dbproxy demo ${session}`,
    });
    // A lost session fails the next statement on it.
    client.on('error', () => {});
    this.#clients.set(session, client);
    await client.connect();
    return client;
  }
}
