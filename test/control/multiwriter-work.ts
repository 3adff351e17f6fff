/** Clients of several writers that fight over one row, and know what they were told: for tests that break things meanwhile. */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';

interface Told {
  readonly acknowledged: Set<string>;
  /** The connection broke while COMMIT was under way. */
  readonly unknown: Set<string>;
}

export class HotRow {
  readonly #told: Told = { acknowledged: new Set(), unknown: new Set() };
  readonly #working: Promise<void>[];
  readonly counts = new Map<string, number>();
  disconnects = 0;
  #isStopped = false;
  #failure: Error | null = null;

  private constructor(urls: readonly string[]) {
    this.#working = urls.map((url) => this.#work(url));
  }

  /** A client for each URL; one may come several times. `primary`: definitions go through it. */
  static async start(urls: readonly string[], primary: string): Promise<HotRow> {
    await once(primary, [
      'create table if not exists hot (id int primary key, n bigint not null)',
      'create table if not exists tries (id uuid primary key)',
      'delete from tries',
      'insert into hot values (1, 0) on conflict (id) do update set n = 0',
    ]);
    for (const url of new Set(urls)) await until(async () => (await sumsOf(url)) === '0/0');
    return new HotRow(urls);
  }

  /** Somebody at this URL has committed something after now. */
  async progressed(url: string): Promise<void> {
    const before = this.counts.get(url) ?? 0;
    await until(() => (this.counts.get(url) ?? 0) > before + 2 || this.#failure !== null);
    if (this.#failure) throw this.#failure;
  }

  /** Resolves when nobody works any more. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#working);
  }

  /** Every acknowledged try is there once, on every writer, and the row counts them; others only where the outcome was unknown. */
  async expectExact(urls: readonly string[]): Promise<number> {
    await this.stop();
    if (this.#failure) throw this.#failure;
    const { acknowledged, unknown } = this.#told;
    await until(async () => new Set(await Promise.all(urls.map(sumsOf))).size === 1);
    for (const url of urls) {
      const found = new Set((await rows(url, 'select id from tries')).map(({ id }) => String(id)));
      const [row] = await rows(url, 'select n from hot where id = 1');
      const missing = [...acknowledged].filter((id) => !found.has(id));
      const extra = [...found].filter((id) => !acknowledged.has(id) && !unknown.has(id));
      if (missing.length > 0 || extra.length > 0 || Number(row?.['n']) !== found.size)
        throw new Error(
          `${url}: ${missing.length} missing, ${extra.length} extra, n = ${String(row?.['n'])} of ${found.size}`,
        );
    }
    return acknowledged.size;
  }

  async #work(url: string): Promise<void> {
    let client: pg.Client | null = null;
    while (!this.#isStopped && this.#failure === null) {
      const id = randomUUID();
      let committing = false;
      try {
        client ??= await connect(url);
        await client.query('begin');
        await client.query('update hot set n = n + 1 where id = 1');
        await client.query('insert into tries values ($1)', [id]);
        committing = true;
        await client.query('commit');
        this.#told.acknowledged.add(id);
        this.counts.set(url, (this.counts.get(url) ?? 0) + 1);
      } catch (error) {
        const { code } = error as pg.DatabaseError;
        if (code === '40001') {
          await client?.query('rollback').catch(() => undefined);
        } else if (error instanceof pg.DatabaseError && !/^(57P|08)/.test(code ?? '')) {
          this.#failure = error;
        } else {
          this.disconnects++;
          if (committing) this.#told.unknown.add(id);
          await client?.end().catch(() => undefined);
          client = null;
        }
        await delay(Math.random() * 20);
      }
    }
    await client?.end().catch(() => undefined);
  }
}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: 15_000,
    query_timeout: 30_000,
  });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

export async function rows(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = await connect(url);
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

export async function once(url: string, statements: readonly string[]): Promise<void> {
  const client = await connect(url);
  try {
    for (const sql of statements) await client.query(sql);
  } finally {
    await client.end();
  }
}

const sumsOf = async (url: string): Promise<string> => {
  const [row] = await rows(
    url,
    `select n || '/' || (select count(*) from tries) as is from hot where id = 1`,
  ).catch(() => []);
  return String(row?.['is']);
};

async function until(look: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + 60_000;
  while (!(await look())) {
    if (performance.now() > end) throw new Error('not within 60 s');
    await delay(20);
  }
}
