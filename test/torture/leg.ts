/** One way to run a suite: a fresh engine of its own, straight or behind a tortured proxy. */
import type { EngineRecord } from '../../src/engine/index.js';
import type { TortureConfig, TortureTally } from '../../src/proxy/control-api.js';
import { directTo, withPg } from '../support/clients.js';
import { PASSWORD, TestEngines } from '../support/engines.js';
import { TestProxy } from '../support/proxies.js';

const NOTHING: TortureTally = { safePoints: 0, warmed: 0, moves: 0, together: 0, stayed: {}, failed: [] };

export class Leg {
  readonly #engines: TestEngines;
  readonly engine: EngineRecord;
  readonly proxy: TestProxy | null;

  private constructor(engines: TestEngines, engine: EngineRecord, proxy: TestProxy | null) {
    this.#engines = engines;
    this.engine = engine;
    this.proxy = proxy;
  }

  /** `torture`: null for straight to PostgreSQL. */
  static async open(torture: TortureConfig | null): Promise<Leg> {
    const engines = await TestEngines.open();
    const engine = await engines.primary();
    const proxy = torture && (await TestProxy.start(engines, engine, { torture }));
    return new Leg(engines, engine, proxy);
  }

  /** For libpq, and what reads its variables. */
  get environment(): Readonly<Record<string, string>> {
    const direct = directTo(this.engine);
    const host = this.proxy ? '127.0.0.1' : (direct.host ?? '');
    const port = this.proxy?.port ?? direct.port;
    return { PGHOST: host, PGPORT: String(port), PGUSER: 'postgres', PGPASSWORD: PASSWORD };
  }

  /** As superuser, past the proxy. */
  async administer(database: string, ...statements: readonly string[]): Promise<void> {
    await withPg(directTo(this.engine, { database }), async (client) => {
      for (const sql of statements) await client.query(sql);
    });
  }

  async tally(): Promise<TortureTally> {
    return (await this.proxy?.control.call('status', {}))?.torture ?? NOTHING;
  }

  async close(): Promise<void> {
    await this.proxy?.stop();
    await this.#engines.close();
  }
}
