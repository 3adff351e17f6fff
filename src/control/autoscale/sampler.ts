/**
 * Measures the engine that serves. CPU over the time of a sample, from the system; sessions as the mean of some looks, because
 * counts flicker.
 *
 * What waits for a cpu: a backend that is active and waits for nothing (`wait_event` is null) has a cpu or wants one. Those that
 * wait for a lock, for the disk or for their client would wait for it on a larger engine, too.
 */
import type { Client } from 'pg';
import { ADMIN_APPLICATION_NAME, connectAdmin } from '../../engine/index.js';
import type { EngineProvider, EngineRecord } from '../../engine/types.js';
import type { Sample } from './decide.js';

const LOOKS_OF_A_SAMPLE = 4;
/** Many times what it takes on an engine that is busy. */
const LOOK_BOUND_MS = 1_000;

const COUNTS = `
  select count(*) filter (where backend_type = 'client backend')::int as active,
         count(*) filter (where wait_event is null)::int as want_cpu
    from pg_stat_activity
   where state = 'active' and backend_type in ('client backend', 'parallel worker') and application_name <> $1`;

interface Counts {
  readonly active: number;
  readonly want_cpu: number;
}

/** How often to look, so that some samples fill the time that a policy asks for. */
export const lookEveryMs = (forMs: number): number => Math.min(1_000, Math.max(250, forMs / 60));

export class Sampler {
  readonly #meter: Pick<EngineProvider, 'usage'>;
  /** The server that is measured: another process, another measurement. */
  #key = '';
  #fromMs = 0;
  #looks: (Counts | null)[] = [];
  #client: Client | null = null;

  /** `meter`: a provider that nobody else asks for usage, since each answer counts from the one before. */
  constructor(meter: Pick<EngineProvider, 'usage'>) {
    this.#meter = meter;
  }

  /** One look; a sample when there were enough. `key` tells whether two samples are of the same server. */
  async look(engine: EngineRecord): Promise<(Sample & { readonly key: string }) | null> {
    const key = JSON.stringify([engine.id, engine.size, engine.process]);
    if (key !== this.#key) {
      await this.close();
      // The first answer has no time that it could be about.
      await this.#meter.usage(engine).catch(() => null);
      this.#key = key;
      this.#fromMs = performance.now();
      return null;
    }
    this.#looks.push(await this.#count(engine));
    return this.#looks.length < LOOKS_OF_A_SAMPLE ? null : { key, ...(await this.#finish(engine)) };
  }

  /** Ends the connection; the next look begins anew. */
  async close(): Promise<void> {
    this.#key = '';
    this.#looks = [];
    const client = this.#client;
    this.#client = null;
    await client?.end().catch(() => undefined);
  }

  async #finish(engine: EngineRecord): Promise<Sample> {
    const usage = await this.#meter.usage(engine).catch(() => null);
    const seen = this.#looks.filter((look) => look !== null);
    const mean = (of: keyof Counts): number | null =>
      seen.length === 0 ? null : seen.reduce((sum, look) => sum + look[of], 0) / seen.length;
    const [fromMs, toMs] = [this.#fromMs, performance.now()];
    this.#fromMs = toMs;
    this.#looks = [];
    const cpuPercent = usage && usage.cpuPercent;
    return { fromMs, toMs, cpuPercent, active: mean('active'), wantCpu: mean('want_cpu') };
  }

  /** Null when the engine does not answer in time: its CPU can still be told. */
  async #count(engine: EngineRecord): Promise<Counts | null> {
    try {
      this.#client ??= await connectAdmin(engine, { timeoutMs: LOOK_BOUND_MS });
      const { rows } = await this.#client.query<Counts>(COUNTS, [ADMIN_APPLICATION_NAME]);
      return rows[0] ?? null;
    } catch {
      const client = this.#client;
      this.#client = null;
      await client?.end().catch(() => undefined);
      return null;
    }
  }
}
