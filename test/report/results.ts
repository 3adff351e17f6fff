/** Results to make reports of: of the form that `--json` has, with texts that try to be markup. */
import type { HandoverRecord, MoveRecord } from '../../src/control/api.js';
import type { DemoFacts } from '../../src/report/demo-section.js';
import type { HandoverReport, SwitchReport } from '../../src/scenario/types.js';
import type { LatencySummary, TimelineBin, WorkloadResult } from '../../src/workload/index.js';

export const HOSTILE =
  '</script><script>document.title = "broken"</script><img src=https://example.com/x>"\'';
const STARTED_AT = Date.UTC(2026, 10, 24, 12, 0, 0);

const latencies: LatencySummary = {
  ...{ count: 4_000, mean: 4, p50: 3.1, p90: 6, p95: 8, p99: 21, p999: 40, max: 71.4 },
  counts: [],
};

const bins = (from: number, to: number, stalledAt: number): TimelineBin[] =>
  Array.from({ length: (to - from) / 100 }, (_, i) => {
    const t = from + i * 100;
    const stalled = Math.abs(t - stalledAt) < 100;
    return stalled
      ? { t, tps: 0, p99: null, max: null, errors: 0 }
      : { t, tps: 200 + (i % 7) * 5, p99: 9, max: 12 + (i % 5), errors: 0 };
  });

export const move = (over: Partial<MoveRecord> = {}): MoveRecord => ({
  ...{ schema: 'dbproxy.move/1', operation: 'scale-1', outcome: 'completed', strategy: 'standby' },
  from: { engine: 'e1', provider: 'embedded', size: 'small', postgres: '17.10' },
  to: { engine: 'e2', provider: 'embedded', size: 'large', postgres: '17.10' },
  sessions: { total: 17, moved: 17, kept: 0, failed: [], dropped: 0 },
  holdMs: { count: 16, p50: 21, p99: 30, max: 31 },
  phasesMs: { provision: 900, warm: 100, drain: 12, fence: 2, catchup: 4, promote: 12, move: 9, retire: 50 },
  attempts: 1,
  stateMoved: {
    ...{ settings: 3, preparedStatements: 80, tempTables: 1, tempBytes: 8192, cursors: 0 },
    ...{ listens: 0, advisoryLocks: 0, sequences: 0 },
  },
  ...{
    lost: [],
    pendingRestart: [],
    startedAt: new Date(STARTED_AT).toISOString(),
    totalMs: 1_089,
    error: null,
  },
  ...over,
});

const switched: SwitchReport = {
  record: move(),
  stallMs: { from: STARTED_AT + 5_000, to: STARTED_AT + 5_031, calls: 9, p50: 20, p99: 31, max: 33 },
  timeline: bins(-2_000, 2_000, 0),
};

export const handover = (over: Partial<HandoverRecord> = {}): HandoverRecord => ({
  ...{ schema: 'dbproxy.handover/1', instance: 'demo', operation: 'handover-2', generation: 2 },
  ...{ from: { pid: 41, version: '0.1.0' }, to: { pid: 42, version: '0.1.0' } },
  sessions: { handed: 11, lost: 0, failed: [] },
  holdMs: { count: 11, p50: 8, p99: 14, max: 15 },
  ...{ startedAt: new Date(STARTED_AT).toISOString(), totalMs: 402 },
  ...over,
});

export const handed = (over: Partial<HandoverRecord> = {}): HandoverReport => ({
  ...switched,
  record: handover(over),
});

export const workload = (over: Partial<WorkloadResult> = {}): WorkloadResult =>
  ({
    ...{ schema: 'dbproxy.workload/1', script: 'tpcb-like', protocol: 'prepared', mode: 'open', clients: 16 },
    ...{ rate: 200, scale: 10, seed: 42, startedAt: STARTED_AT, seconds: 20, warmupSeconds: 2 },
    ...{
      transactions: 4_000,
      failed: 0,
      unknown: 0,
      unfinished: 0,
      retried: 0,
      disconnects: 0,
      reconnects: 0,
    },
    ...{ errors: {}, latencyMs: latencies, serviceMs: latencies, scheduleLagMs: null, tps: 200 },
    stallMs: { count: 9, p50: 20, p99: 31, max: 33, windows: [switched.stallMs] },
    longestGapMs: { ms: 44, at: STARTED_AT + 5_000 },
    timeline: bins(0, 20_000, 5_000),
    ledger: {
      ...{
        ok: true,
        acknowledged: 4_400,
        unknown: 0,
        committed: 4_400,
        accounts: 7,
        tellers: 7,
        branches: 7,
      },
      ...{ history: 7, problems: [] },
    },
    ...{ generatorCpuUs: 90, valid: true, invalidReasons: [] },
    ...over,
  }) as unknown as WorkloadResult;

export const demo = (over: Partial<DemoFacts> = {}): DemoFacts => ({
  ...{ scenario: 'live-scale', outcome: 'passed', totalMs: 31_000 },
  steps: [
    { name: 'up', outcome: 'done', ms: 1_300 },
    { name: 'scale to large', outcome: 'done', ms: 1_100 },
  ],
  expectations: [{ text: 'every session moved', actual: 'all of them', ok: true }],
  switches: [switched],
  workload: workload(),
  engine: { providerReason: 'embedded: no container runtime', postgres: '17.10' },
  ...over,
});
