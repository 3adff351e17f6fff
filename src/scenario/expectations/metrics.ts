/**
 * Everything that a scenario can expect something of: what the clients of its load saw, and what the operations report.
 * docs/scenarios.md has the same list, made from this one.
 */
import type { ConflictResult } from '../../conflict/index.js';
import type { HandoverRecord, MoveRecord, PhasesMs } from '../../control/api.js';
import type { LatencySummary, WorkloadProgress, WorkloadResult } from '../../workload/index.js';
import { Unfit } from '../file/complaints.js';
import type { Expectation } from './grammar.js';

export type Unit = 'count' | 'ms' | 'rate';

/** What there is to be judged at the end. */
export interface Evidence {
  readonly load: WorkloadResult | null;
  /** All loads: the scenario's own and those of its steps. */
  readonly loads: readonly WorkloadResult[];
  readonly moves: readonly MoveRecord[];
  readonly handovers: readonly HandoverRecord[];
  readonly conflicts: readonly ConflictResult[];
}

export interface Metric {
  readonly name: string;
  readonly unit: Unit;
  readonly about: string;
  /** Null: there is nothing to measure, and no expectation of it holds. */
  readonly read: (evidence: Evidence) => number | null;
  /** While the load runs; without it a metric is known at the end only. */
  readonly live?: (progress: WorkloadProgress) => number;
}

const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0);
const worst = (values: readonly (number | null)[]): number | null => {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : Math.max(...known);
};

const ofLoads = (
  name: string,
  about: string,
  of: (load: WorkloadResult) => number,
  live?: Metric['live'],
): Metric => ({
  ...{ name, about, unit: 'count' },
  read: ({ loads }) => (loads.length === 0 ? null : sum(loads.map(of))),
  ...(live ? { live } : {}),
});

const clients: readonly Metric[] = [
  ofLoads(
    'client.errors',
    'transactions that failed, have an unknown outcome, or were not answered in time',
    ({ failed, unknown, unfinished }) => failed + unknown + unfinished,
    ({ failed, unknown }) => failed + unknown,
  ),
  ofLoads(
    'client.failed',
    'transactions that certainly did not commit',
    ({ failed }) => failed,
    ({ failed }) => failed,
  ),
  ofLoads(
    'client.unknown',
    'transactions of which nobody can say',
    ({ unknown }) => unknown,
    ({ unknown }) => unknown,
  ),
  ofLoads(
    'client.disconnects',
    'connections that were lost',
    (load) => load.disconnects,
    (load) => load.disconnects,
  ),
  ofLoads('client.retried', 'tries after 40001 and 40P01', ({ retried }) => retried),
  ofLoads(
    'state.lost',
    'sessions whose probe found something missing',
    ({ errors }) => errors['state-lost'] ?? 0,
  ),
];

const workloads: readonly Metric[] = [
  {
    ...{ name: 'workload.errors', unit: 'count', about: "client.errors of the scenario's own load" },
    read: ({ load }) => load && load.failed + load.unknown + load.unfinished,
    live: ({ failed, unknown }) => failed + unknown,
  },
  {
    ...{ name: 'workload.transactions', unit: 'count', about: 'committed' },
    read: ({ load }) => load?.transactions ?? null,
    live: ({ transactions }) => transactions,
  },
  {
    ...{
      name: 'workload.tps',
      unit: 'rate',
      about: 'committed per second; under `steady` in the last second',
    },
    read: ({ load }) => load?.tps ?? null,
    live: ({ tps }) => tps,
  },
  {
    ...{ name: 'gap.max', unit: 'ms', about: 'the longest time without a commit' },
    read: ({ load }) => load?.longestGapMs.ms ?? null,
  },
];

function distribution(
  name: string,
  about: string,
  aggregates: readonly Exclude<keyof LatencySummary, 'counts' | 'count'>[],
  of: (load: WorkloadResult) => Partial<Record<keyof LatencySummary, unknown>> | null,
): Metric[] {
  return aggregates.map((aggregate) => ({
    ...{ name: `${name}.${aggregate}`, unit: 'ms', about: `${about}: ${aggregate}` },
    read: ({ load }) => (load ? ((of(load)?.[aggregate] ?? null) as number | null) : null),
  }));
}

const ALL = ['mean', 'p50', 'p90', 'p95', 'p99', 'p999', 'max'] as const;
const latencies: readonly Metric[] = [
  ...distribution(
    'latency',
    'from when a transaction was due to its answer',
    ALL,
    ({ latencyMs }) => latencyMs,
  ),
  ...distribution('service', 'from when it was sent to its answer', ALL, ({ serviceMs }) => serviceMs),
  ...distribution('lag', 'how late the generator itself was', ALL, ({ scheduleLagMs }) => scheduleLagMs),
  ...distribution(
    'stall',
    'latency of the calls that overlap a switch',
    ['p50', 'p99', 'max'],
    ({ stallMs }) => stallMs,
  ),
  {
    ...{ name: 'stall.count', unit: 'count', about: 'calls that overlap a switch' },
    read: ({ load }) => load?.stallMs.count ?? null,
  },
];

const holds = (['p50', 'p99', 'max'] as const).map((aggregate): Metric => ({
  ...{
    name: `hold.${aggregate}`,
    unit: 'ms',
    about: `how long a session was held, ${aggregate} of the worst operation`,
  },
  read: ({ moves, handovers }) => worst([...moves, ...handovers].map(({ holdMs }) => holdMs[aggregate])),
}));

const ofMoves = (name: string, about: string, of: (record: MoveRecord) => number): Metric => ({
  ...{ name, about, unit: 'count' },
  read: ({ moves }) => (moves.length === 0 ? null : sum(moves.map(of))),
});
const MOVED = [
  ...['settings', 'preparedStatements', 'tempTables', 'tempBytes', 'cursors', 'listens', 'advisoryLocks'],
  'sequences',
] as const satisfies readonly string[];

const operations: readonly Metric[] = [
  {
    ...{ name: 'moves.completed', unit: 'count', about: 'scales and patches that went through' },
    read: ({ moves }) => moves.filter(({ outcome }) => outcome === 'completed').length,
  },
  {
    ...{ name: 'moves.rolledBack', unit: 'count', about: 'scales and patches that were rolled back' },
    read: ({ moves }) => moves.filter(({ outcome }) => outcome === 'rolled-back').length,
  },
  ofMoves('moves.attempts', 'attempts to hold all sessions', ({ attempts }) => attempts),
  ofMoves('sessions.moved', 'sessions that moved, over all operations', ({ sessions }) => sessions.moved),
  {
    ...{
      name: 'sessions.left',
      unit: 'count',
      about: 'sessions that did not move in an operation that completed',
    },
    read: ({ moves }) => {
      const completed = moves.filter(({ outcome }) => outcome === 'completed');
      return completed.length === 0
        ? null
        : sum(completed.map(({ sessions }) => sessions.total - sessions.moved));
    },
  },
  ofMoves(
    'sessions.dropped',
    'sessions that were ended because they could not move',
    ({ sessions }) => sessions.dropped,
  ),
  {
    ...{
      name: 'handovers.sessions',
      unit: 'count',
      about: 'sessions handed to another process of the proxy',
    },
    read: ({ handovers }) => sum(handovers.map(({ sessions }) => sessions.handed)),
  },
  {
    ...{ name: 'handovers.lost', unit: 'count', about: 'sessions that were lost on the way there' },
    read: ({ handovers }) => sum(handovers.map(({ sessions }) => sessions.lost)),
  },
  ...MOVED.map((kind) =>
    ofMoves(`moved.${kind}`, 'what sessions took along', ({ stateMoved }) => stateMoved[kind]),
  ),
  ...(['provision', 'warm', 'drain', 'fence', 'catchup', 'promote', 'move', 'retire'] as const).map(
    (phase: keyof PhasesMs): Metric => ({
      ...{ name: `phase.${phase}`, unit: 'ms', about: 'the longest of all operations' },
      read: ({ moves }) => worst(moves.map(({ phasesMs }) => phasesMs[phase])),
    }),
  ),
];

const ofConflicts = (name: string, about: string, of: (result: ConflictResult) => number): Metric => ({
  ...{ name: `conflict.${name}`, about, unit: 'count' },
  read: ({ conflicts }) => (conflicts.length === 0 ? null : sum(conflicts.map(of))),
});

const conflicts: readonly Metric[] = [
  ofConflicts('committed', 'tries of conflict steps that committed', ({ committed }) => committed),
  ofConflicts('conflicts', 'tries that ended with 40001', (result) => result.conflicts),
  ofConflicts('adjudicated', 'verdicts of the primary', ({ adjudicated }) => adjudicated),
  ofConflicts('splitVotes', 'verdicts on votes that were split', ({ splitVotes }) => splitVotes),
  ofConflicts('lostUpdates', 'acknowledged commits that are missing', ({ lostUpdates }) => lostUpdates),
  ofConflicts('diverged', 'conflict steps after which writers held different rows', ({ diverged }) =>
    Number(diverged),
  ),
];

export const METRICS: ReadonlyMap<string, Metric> = new Map(
  [...clients, ...workloads, ...latencies, ...holds, ...operations, ...conflicts].map((metric) => [
    metric.name,
    metric,
  ]),
);

/** Of what holds before and after the steps, when the load still runs. Throws Unfit. */
export function assertLive(expectation: Expectation): void {
  if (expectation.kind !== 'metric' || expectation.metric.live) return;
  const live = [...METRICS.values()].flatMap((metric) => (metric.live ? [metric.name] : []));
  throw new Unfit(
    `${expectation.metric.name} is known at the end only and belongs to expect; steady can have ${live.join(', ')}`,
    live,
  );
}
