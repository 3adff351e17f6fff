/** What `status`, `sessions` and `check` show: the supervisor's record joined with what the proxy and the engines say. */
import { setTimeout as delay } from 'node:timers/promises';
import { ADMIN_APPLICATION_NAME, withAdmin } from '../engine/index.js';
import type { EngineRecord } from '../engine/types.js';
import type { ProxyStatus, SessionSnapshot } from '../proxy/control-api.js';
import type { EngineStatus, EngineSummary, ProxyProcessStatus, SessionStatus, StatusResult } from './api.js';
import type { Instance } from './instance.js';
import { proxyStatus, type Proxy } from './proxy-process.js';
import { Remembered } from './remembered.js';
import { urlOf } from './verify.js';

const LOOK_BOUND_MS = 2_000;
const QUERY_CHARACTERS = 500;
/** Counters of the statistics views move at most once a second (PGSTAT_MIN_INTERVAL): shorter intervals say nothing. */
const SHORTEST_TPS_INTERVAL_MS = 1_000;

export function summaryOf(engine: EngineRecord): EngineSummary {
  const { id, role, size, postgres, provider, process, container } = engine;
  return {
    id,
    role,
    size,
    postgres,
    provider,
    pid: process?.pid ?? null,
    container: container?.name ?? null,
  };
}

interface Counters {
  readonly connections: number;
  readonly transactions: number;
}

/** What it takes a look at the engine itself to know. */
interface Measured {
  readonly status: Omit<EngineStatus, keyof Omit<EngineSummary, 'pid'>>;
  /** What each backend runs, or ran last, by its pid. */
  readonly queries: ReadonlyMap<number, string>;
}

/** Remembers the counters of the last look, for rates, and what engines said, for those who ask several times a second. */
export class StatusBoard {
  readonly #instance: Instance;
  readonly #lastTransactions = new Map<string, { at: number; count: number; tps: number | null }>();
  /** Transactions of our own looks, by engine: nobody's load. */
  readonly #ownTransactions = new Map<string, number>();
  readonly #measured = new Map<string, Remembered<Measured>>();

  constructor(instance: Instance) {
    this.#instance = instance;
  }

  /** What only the engines know may be `maxAgeMs` old; the sessions' states are those of now. */
  async status(
    proxy: Proxy | null,
    now: Pick<
      StatusResult,
      'state' | 'operation' | 'autoscale' | 'standby' | 'repaired' | 'writers' | 'store'
    >,
    maxAgeMs: number,
  ): Promise<StatusResult> {
    const { record, password } = this.#instance;
    const [engines, seen, snapshots] = await Promise.all([
      this.#lookAtEngines(maxAgeMs),
      proxy ? bounded(proxyStatus(proxy)) : null,
      this.#snapshots(proxy),
    ]);
    const statuses = record.engines.map((engine) => statusOf(engine, engines.get(engine.id)));
    const broken = !seen || statuses.some(({ role, state }) => role === 'primary' && state !== 'running');
    return {
      schema: 'dbproxy.status/1',
      instance: record.spec.name,
      state: now.state === 'running' && broken ? 'degraded' : now.state,
      url: urlOf(record.spec, password),
      engines: statuses,
      proxy: seen && proxyPart(seen),
      supervisor: { pid: process.pid },
      sessions: withQueries(snapshots, engines),
      operation: now.operation,
      autoscale: now.autoscale,
      standby: now.standby,
      writers: now.writers,
      store: now.store,
      repaired: now.repaired,
    };
  }

  async sessions(proxy: Proxy | null): Promise<SessionStatus[]> {
    const [snapshots, engines] = await Promise.all([this.#snapshots(proxy), this.#lookAtEngines(0)]);
    return withQueries(snapshots, engines);
  }

  async #snapshots(proxy: Proxy | null): Promise<SessionSnapshot[]> {
    if (!proxy) return [];
    const asked = proxy.rpc.call('sessions', {}, { timeoutMs: LOOK_BOUND_MS });
    return ((await bounded(asked)) ?? []).filter(isUsers);
  }

  async #lookAtEngines(maxAgeMs: number): Promise<ReadonlyMap<string, Measured>> {
    const { engines } = this.#instance.record;
    for (const id of this.#measured.keys())
      if (!engines.some((engine) => engine.id === id)) this.#measured.delete(id);
    const looks = engines.map(async (engine) => {
      const { id } = engine;
      const now = (): EngineRecord => this.#instance.engine(id) ?? engine;
      const measured = this.#measured.get(id) ?? new Remembered(() => this.#measure(now()));
      this.#measured.set(id, measured);
      return [id, await measured.get(maxAgeMs)] as const;
    });
    return new Map(await Promise.all(looks));
  }

  async #measure(engine: EngineRecord): Promise<Measured> {
    const { provider } = this.#instance;
    const [health, usage] = await Promise.all([
      bounded(provider.inspect(engine)),
      bounded(provider.usage(engine)),
    ]);
    const state = health?.state ?? 'unresponsive';
    const said = state === 'running' ? await bounded(this.#ask(engine)) : null;
    return {
      status: {
        pid: health && health.state !== 'stopped' ? (health.process?.pid ?? null) : null,
        state,
        cpuPercent: usage && Math.round(usage.cpuPercent * 10) / 10,
        memoryBytes: usage && usage.memoryBytes,
        connections: said && said.counters.connections,
        tps: said && this.#tps(engine.id, said.counters.transactions),
      },
      queries: said?.queries ?? new Map(),
    };
  }

  #tps(engine: string, transactions: number): number | null {
    const at = performance.now();
    const count = transactions - (this.#ownTransactions.get(engine) ?? 0);
    const last = this.#lastTransactions.get(engine);
    if (last && at - last.at < SHORTEST_TPS_INTERVAL_MS) return last.tps;
    const since = last ? Math.max(0, count - last.count) : 0;
    const tps = last ? Math.round((since * 10_000) / (at - last.at)) / 10 : null;
    this.#lastTransactions.set(engine, { at, count, tps });
    return tps;
  }

  #ask(engine: EngineRecord): Promise<{ counters: Counters; queries: Measured['queries'] }> {
    return withAdmin(
      engine,
      async (query) => {
        const [counters] = await query<Counters>(COUNTERS, [ADMIN_APPLICATION_NAME]);
        const rows = await query<{ pid: number; query: string }>(QUERIES, [
          QUERY_CHARACTERS,
          ADMIN_APPLICATION_NAME,
        ]);
        this.#ownTransactions.set(engine.id, (this.#ownTransactions.get(engine.id) ?? 0) + LOOK_TRANSACTIONS);
        return {
          counters: counters ?? { connections: 0, transactions: 0 },
          queries: new Map(rows.map((row) => [row.pid, row.query])),
        };
      },
      { timeoutMs: LOOK_BOUND_MS },
    );
  }
}

/** Those of one `#measure`: two logins, a query of the provider's `inspect`, two queries of `#ask`. */
const LOOK_TRANSACTIONS = 5;

const COUNTERS = `select (select count(*)::int from pg_stat_activity
          where backend_type = 'client backend' and application_name <> $1) as connections,
        (select coalesce(sum(xact_commit + xact_rollback), 0)::float8 from pg_stat_database) as transactions`;

const QUERIES = `select pid, left(query, $1) as query from pg_stat_activity
    where backend_type = 'client backend' and application_name <> $2 and query <> ''`;

const UNKNOWN: Measured['status'] = {
  pid: null,
  state: 'unresponsive',
  cpuPercent: null,
  memoryBytes: null,
  connections: null,
  tps: null,
};

const statusOf = (engine: EngineRecord, measured: Measured | undefined): EngineStatus => ({
  ...summaryOf(engine),
  ...(measured?.status ?? UNKNOWN),
});

const withQueries = (
  snapshots: readonly SessionSnapshot[],
  engines: ReadonlyMap<string, Measured>,
): SessionStatus[] =>
  snapshots.map(({ unasked, ...session }) => ({
    ...session,
    query: (unasked ? null : engines.get(session.engine)?.queries.get(session.backendPid)) ?? null,
  }));

/** Our own connections are hidden. */
export const isUsers = ({ application }: Pick<SessionSnapshot, 'application'>): boolean =>
  application !== ADMIN_APPLICATION_NAME;

const proxyPart = ({ members, ...status }: ProxyStatus): StatusResult['proxy'] => ({
  ...processPart(status),
  ...(members ? { processes: members.map(processPart) } : {}),
});

const processPart = ({ pid, version, generation, sessions, held }: ProxyStatus): ProxyProcessStatus => ({
  pid,
  version,
  generation,
  sessions,
  held,
});

/** A part of the picture that cannot be had in time is left out: status answers also when half of it is broken. */
async function bounded<T>(work: Promise<T>): Promise<T | null> {
  const cancel = new AbortController();
  try {
    return await Promise.race([
      work,
      delay(LOOK_BOUND_MS + 500, null, { signal: cancel.signal }).catch(() => null),
    ]);
  } catch {
    return null;
  } finally {
    cancel.abort();
  }
}
