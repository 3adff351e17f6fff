/** Puts the result of a run together, and says whether it can be believed. */
import type { LatencySummary } from './histogram.js';
import type { LedgerVerdict } from './ledger.js';
import type { Load, Plan } from './runner.js';
import type { SwitchWindow, WorkloadResult } from './types.js';

/** Above this the generator was too busy to be believed (p99 of the schedule lag). */
export const MAX_SCHEDULE_LAG_MS = 5;
/** A rate is reached when calls do not wait longer than this for a client when the time is over, */
const MAX_OVERDUE_MS = 1_000;
/** or than this part of the run. */
const MAX_OVERDUE_PART = 0.1;

export interface Ending {
  readonly offsetMs: number;
  readonly cpuUs: number;
  readonly windows: readonly SwitchWindow[];
  readonly ledger: LedgerVerdict | null;
}

export function composeResult(plan: Plan, load: Load, ending: Ending): WorkloadResult {
  const { options, works } = plan;
  const { driver, recorder, fromMs } = load;
  const toEpoch = (ms: number): number => Math.round(ms + ending.offsetMs);
  const fromEpoch = (ms: number): number => ms - ending.offsetMs;
  const seconds = Math.max(driver.stopAtMs - fromMs, 0) / 1000;
  const gap = recorder.longestGap(driver.stopAtMs);
  const rate = options.ratePerSecond ?? null;
  const lag = rate === null ? null : recorder.lag.summary();
  const unfinished = recorder.unfinished + driver.notBegun();
  const stalls = recorder.stalls(
    ending.windows.map(({ from, to }) => ({ from: fromEpoch(from), to: fromEpoch(to) })),
  );
  const invalidReasons = doubts({ ...load, rate, seconds, unfinished, lag });
  return {
    schema: 'dbproxy.workload/1',
    script:
      works.length === 1
        ? (works[0]?.name ?? '')
        : works.map((each) => `${each.name}@${each.weight}`).join(', '),
    works: recorder.works(),
    protocol: plan.protocol,
    mode: rate === null ? 'closed' : 'open',
    clients: options.clients,
    rate,
    arrivals: rate === null ? null : (options.arrivals ?? 'poisson'),
    scale: plan.scale,
    seed: plan.seed,
    startedAt: toEpoch(fromMs),
    seconds,
    warmupSeconds: plan.warmupSeconds,
    transactions: recorder.committed,
    failed: recorder.failed,
    unknown: recorder.unknown,
    unfinished,
    retried: recorder.retried,
    disconnects: recorder.disconnects,
    reconnects: recorder.reconnects,
    errors: Object.fromEntries(recorder.errors),
    errorExamples: Object.fromEntries(recorder.examples),
    latencyMs: recorder.latency.summary(),
    serviceMs: recorder.service.summary(),
    scheduleLagMs: lag,
    tps: seconds === 0 ? 0 : recorder.committed / seconds,
    stallMs: {
      ...stalls,
      windows: stalls.windows.map((window, i) => ({ ...window, ...ending.windows[i] })),
    },
    longestGapMs: { ms: gap.ms, at: toEpoch(gap.at) },
    timeline: recorder.timeline(),
    ledger: ending.ledger,
    generatorCpuUs: recorder.finished === 0 ? null : ending.cpuUs / recorder.finished,
    valid: invalidReasons.length === 0,
    invalidReasons,
  };
}

interface Doubtful extends Load {
  readonly rate: number | null;
  readonly seconds: number;
  readonly unfinished: number;
  readonly lag: LatencySummary | null;
}

/** Why the numbers should not be quoted. */
function doubts({ clients, driver, rate, seconds, unfinished, lag }: Doubtful): string[] {
  const reasons: string[] = [];
  if (lag !== null && lag.p99 !== null && lag.p99 > MAX_SCHEDULE_LAG_MS) {
    reasons.push(
      `the generator was late: p99 of the schedule lag is ${lag.p99} ms, at most ${MAX_SCHEDULE_LAG_MS} is allowed`,
    );
  }
  if (driver.overdueMs > Math.max(MAX_OVERDUE_MS, seconds * 1000 * MAX_OVERDUE_PART)) {
    reasons.push(
      `the rate of ${rate}/s was not reached: when the time was over, calls that were due had waited ${Math.round(driver.overdueMs)} ms to begin`,
    );
  }
  if (unfinished > 0) reasons.push(`${unfinished} transactions that were due were not answered in time`);
  const gone = clients.filter((client) => client.state === 'gone').length;
  if (gone > 0) reasons.push(`${gone} clients could not connect again`);
  if (seconds === 0) reasons.push('it ended before the warm-up did');
  return reasons;
}
