/** Puts the result of a scenario together: joins the supervisor's records with what the clients saw meanwhile. */
import type { DbproxyError } from '../errors/index.js';
import type { SwitchWindow, WorkloadResult } from '../workload/index.js';
import type { Scenario } from './file/read.js';
import type { Stage } from './stage.js';
import type { Timeline } from './timeline.js';
import { verdictOf } from './verdict.js';
import type { DemoResult, ExpectationResult, HandoverReport, SwitchReport } from './types.js';

/** What the picture of a switch shows on both sides of it. */
const PICTURE_MS = 2_000;

export interface Played {
  readonly timeline: Timeline;
  readonly expectations: readonly ExpectationResult[];
  readonly stage: Stage | null;
  readonly workload: WorkloadResult | null;
  readonly kept: DemoResult['kept'];
  readonly startedAt: string;
  readonly error: DbproxyError | null;
}

export function composeDemo(scenario: Scenario, played: Played): DemoResult {
  const { timeline, expectations, stage, workload, kept, startedAt, error } = played;
  const seen = (operation: string, at: string): Pick<SwitchReport, 'stallMs' | 'timeline'> =>
    seenBy(workload, windowOf(stage, operation, at));
  const demo: Omit<DemoResult, 'verdict'> = {
    schema: 'dbproxy.demo/1',
    scenario: scenario.name,
    file: scenario.file,
    outcome: outcomeOf(played),
    error: error?.toJSON() ?? null,
    startedAt,
    totalMs: timeline.totalMs,
    steps: timeline.results,
    expectations,
    switches: (stage?.moves ?? []).map((record): SwitchReport => ({
      record,
      ...seen(record.operation, record.startedAt),
    })),
    handovers: (stage?.handovers ?? []).map((record): HandoverReport => ({
      record,
      ...seen(record.operation, record.startedAt),
    })),
    conflicts: stage?.conflicts ?? [],
    workload,
    stepWorkloads: stage?.stepLoads ?? [],
    engine: stage && {
      provider: stage.up.provider,
      providerReason: stage.up.providerReason,
      postgres: stage.up.engines[0]?.postgres ?? '',
    },
    kept,
  };
  return { ...demo, verdict: verdictOf(demo) };
}

function outcomeOf({ error, timeline, expectations }: Played): DemoResult['outcome'] {
  if (error?.code === 'DBP_INTERRUPTED' || error?.code === 'DBP_TERMINATED') return 'interrupted';
  if (error) return 'errored';
  const failed =
    timeline.results.some(({ outcome }) => outcome === 'failed') || expectations.some(({ ok }) => !ok);
  return failed ? 'failed' : 'passed';
}

/** The last attempt is the switch itself. */
function windowOf(stage: Stage | null, operation: string, startedAt: string): SwitchWindow {
  const windows = (stage?.windows ?? []).filter((each) => each.operation === operation);
  return windows.at(-1)?.window ?? { from: Date.parse(startedAt), to: Date.parse(startedAt) };
}

function seenBy(
  workload: WorkloadResult | null,
  window: SwitchWindow,
): Pick<SwitchReport, 'stallMs' | 'timeline'> {
  const nothing = { ...window, calls: 0, p50: null, p99: null, max: null };
  if (!workload) return { stallMs: nothing, timeline: [] };
  const heldFromT = window.from - workload.startedAt;
  const heldToT = window.to - workload.startedAt;
  return {
    stallMs: workload.stallMs.windows.find(({ from }) => from === window.from) ?? nothing,
    timeline: workload.timeline
      .filter(({ t }) => t >= heldFromT - PICTURE_MS && t <= heldToT + PICTURE_MS)
      .map((bin) => ({ ...bin, t: Math.round(bin.t - heldFromT) })),
  };
}
