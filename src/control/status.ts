/** What `status`, `sessions` and `check` show: the supervisor's record joined with what the proxy and the engines say. */
import { setTimeout as delay } from 'node:timers/promises';
import { ADMIN_APPLICATION_NAME, withAdmin } from '../engine/index.js';
import type { EngineRecord } from '../engine/types.js';
import type { ProxyStatus, SessionSnapshot } from '../proxy/control-api.js';
import type {
  EngineStatus,
  EngineSummary,
  InstanceState,
  OperationProgress,
  SessionStatus,
  StatusResult,
} from './api.js';
import type { Instance } from './instance.js';
import { proxyStatus, type Proxy } from './proxy-process.js';
import { urlOf } from './verify.js';

const LOOK_BOUND_MS = 2_000;
const QUERY_CHARACTERS = 500;
/** Counters of the statistics views move at most once a second (PGSTAT_MIN_INTERVAL): shorter intervals say nothing. */
const SHORTEST_TPS_INTERVAL_MS = 1_000;

export function summaryOf({ id, role, size, postgres, process }: EngineRecord): EngineSummary {
  return { id, role, size, postgres, pid: process?.pid ?? null };
}

interface Counters {
  readonly connections: number;
  readonly transactions: number;
}

/** Remembers the counters of the last look, for rates. */
export class StatusBoard {
  readonly #instance: Instance;
  readonly #lastTransactions = new Map<string, { at: number; count: number; tps: number | null }>();

  constructor(instance: Instance) {
    this.#instance = instance;
  }

  async status(
    proxy: Proxy | null,
    now: { state: InstanceState; operation: OperationProgress | null; repaired: readonly string[] },
  ): Promise<StatusResult> {
    const { record, password } = this.#instance;
    const [engines, seen, sessions] = await Promise.all([
      Promise.all(record.engines.map((engine) => this.#engineStatus(engine))),
      proxy ? bounded(proxyStatus(proxy)) : null,
      this.sessions(proxy),
    ]);
    const broken = !seen || engines.some(({ role, state }) => role === 'primary' && state !== 'running');
    return {
      schema: 'dbproxy.status/1',
      instance: record.spec.name,
      state: now.state === 'running' && broken ? 'degraded' : now.state,
      url: urlOf(record.spec, password),
      engines,
      proxy: seen && proxyPart(seen),
      sessions,
      operation: now.operation,
      repaired: now.repaired,
    };
  }

  async sessions(proxy: Proxy | null): Promise<SessionStatus[]> {
    const [snapshots, queries] = await Promise.all([
      proxy ? bounded(proxy.rpc.call('sessions', {}, { timeoutMs: LOOK_BOUND_MS })) : null,
      bounded(this.#queriesByPid()),
    ]);
    return (snapshots ?? []).filter(isUsers).map(({ unasked, ...session }) => ({
      ...session,
      query: (unasked ? null : queries?.get(`${session.engine} ${session.backendPid}`)) ?? null,
    }));
  }

  async #engineStatus(engine: EngineRecord): Promise<EngineStatus> {
    const { provider } = this.#instance;
    const [health, usage] = await Promise.all([
      bounded(provider.inspect(engine)),
      bounded(provider.usage(engine)),
    ]);
    const state = health?.state ?? 'unresponsive';
    const counters = state === 'running' ? await bounded(readCounters(engine)) : null;
    return {
      ...summaryOf(engine),
      pid: health && health.state !== 'stopped' ? health.process.pid : null,
      state,
      cpuPercent: usage && Math.round(usage.cpuPercent * 10) / 10,
      memoryBytes: usage && usage.memoryBytes,
      connections: counters && counters.connections,
      tps: counters && this.#tps(engine.id, counters.transactions),
    };
  }

  #tps(engine: string, count: number): number | null {
    const at = performance.now();
    const last = this.#lastTransactions.get(engine);
    if (last && at - last.at < SHORTEST_TPS_INTERVAL_MS) return last.tps;
    const tps = last ? Math.round(((count - last.count) * 10_000) / (at - last.at)) / 10 : null;
    this.#lastTransactions.set(engine, { at, count, tps });
    return tps;
  }

  async #queriesByPid(): Promise<Map<string, string>> {
    const engines = this.#instance.record.engines.filter(({ role }) => role !== 'retired');
    const lists = await Promise.all(engines.map((engine) => bounded(readQueries(engine))));
    return new Map(lists.flatMap((list) => list ?? []));
  }
}

/** Our own connections are hidden. */
export const isUsers = ({ application }: Pick<SessionSnapshot, 'application'>): boolean =>
  application !== ADMIN_APPLICATION_NAME;

const proxyPart = ({ pid, version, generation, sessions, held }: ProxyStatus): StatusResult['proxy'] => ({
  pid,
  version,
  generation,
  sessions,
  held,
});

function readCounters(engine: EngineRecord): Promise<Counters | null> {
  return withAdmin(
    engine,
    async (query) => {
      const [row] = await query<Counters>(
        `select (select count(*)::int from pg_stat_activity
                  where backend_type = 'client backend' and application_name <> $1) as connections,
                (select coalesce(sum(xact_commit + xact_rollback), 0)::float8 from pg_stat_database) as transactions`,
        [ADMIN_APPLICATION_NAME],
      );
      return row ?? null;
    },
    { timeoutMs: LOOK_BOUND_MS },
  );
}

function readQueries(engine: EngineRecord): Promise<[string, string][]> {
  return withAdmin(
    engine,
    async (query) => {
      const rows = await query<{ pid: number; query: string }>(
        `select pid, left(query, $1) as query from pg_stat_activity
          where backend_type = 'client backend' and application_name <> $2 and query <> ''`,
        [QUERY_CHARACTERS, ADMIN_APPLICATION_NAME],
      );
      return rows.map((row): [string, string] => [`${engine.id} ${row.pid}`, row.query]);
    },
    { timeoutMs: LOOK_BOUND_MS },
  );
}

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
