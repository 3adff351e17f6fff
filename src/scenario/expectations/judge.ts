/** Compares what was expected with what was seen. */
import type { WorkloadProgress, WorkloadResult } from '../../workload/index.js';
import { MAIN_SESSION } from '../sql-sessions.js';
import type { Stage } from '../stage.js';
import type { ExpectationResult } from '../types.js';
import { holds, type Expectation } from './grammar.js';
import type { Unit } from './metrics.js';

/** The load tells of itself once a second. */
const PROGRESS_BOUND_MS = 60_000;
const LOOK_EVERY_MS = 50;

/** While the load runs: of its measured time, so that its warm-up is waited for. */
export async function judgeSteady(
  expectations: readonly Expectation[],
  stage: Stage,
  when: 'before' | 'after',
): Promise<ExpectationResult[]> {
  const progress = stage.load ? await nextProgress(stage) : null;
  return inTurn(expectations, (expectation) =>
    expectation.kind === 'metric'
      ? byNumber(expectation, when, progress ? (expectation.metric.live?.(progress) ?? null) : null)
      : judgeOther(expectation, stage, when, null),
  );
}

export function judgeAtEnd(
  expectations: readonly Expectation[],
  stage: Stage,
  load: WorkloadResult | null,
): Promise<ExpectationResult[]> {
  const { moves, handovers, conflicts, stepLoads } = stage;
  const loads = load ? [load, ...stepLoads] : stepLoads;
  return inTurn(expectations, (expectation) =>
    expectation.kind === 'metric'
      ? byNumber(expectation, 'end', expectation.metric.read({ load, loads, moves, handovers, conflicts }))
      : judgeOther(expectation, stage, 'end', load ?? stepLoads.at(-1) ?? null),
  );
}

/** Queries run on one session: one after the other. */
async function inTurn(
  expectations: readonly Expectation[],
  judge: (expectation: Expectation) => ExpectationResult | Promise<ExpectationResult>,
): Promise<ExpectationResult[]> {
  const results: ExpectationResult[] = [];
  for (const expectation of expectations) results.push(await judge(expectation));
  return results;
}

function byNumber(
  { text, line, metric, operator, value }: Expectation & { kind: 'metric' },
  when: ExpectationResult['when'],
  actual: number | null,
): ExpectationResult {
  return {
    ...{ text, line, when, actual: shown(actual, metric.unit) },
    ok: actual !== null && holds(operator, actual, value),
  };
}

async function judgeOther(
  expectation: Exclude<Expectation, { kind: 'metric' }>,
  { sessions }: Stage,
  when: ExpectationResult['when'],
  load: WorkloadResult | null,
): Promise<ExpectationResult> {
  const { text, line } = expectation;
  if (expectation.kind === 'ledger') {
    const ledger = load?.ledger ?? null;
    const actual = ledger === null ? 'not kept' : ledger.ok ? 'exact' : ledger.problems.join('; ');
    return { text, line, when, actual, ok: ledger?.ok === true };
  }
  try {
    const found = await sessions.run(expectation.sql, `${MAIN_SESSION} (expectations)`);
    return { text, line, when, actual: String(found), ok: found === expectation.equals };
  } catch (error) {
    return { text, line, when, actual: (error as Error).message, ok: false };
  }
}

const shown = (value: number | null, unit: Unit): string => {
  if (value === null) return 'nothing to measure';
  const number = String(Math.round(value * 10) / 10);
  return unit === 'ms' ? `${number} ms` : unit === 'rate' ? `${number}/s` : number;
};

/** The next word of the load, once its warm-up is over; its end is the end of waiting. */
async function nextProgress(stage: Stage): Promise<WorkloadProgress | null> {
  const before = stage.progress;
  const endMs = performance.now() + PROGRESS_BOUND_MS;
  const isNew = (): boolean => stage.progress !== before && stage.progress?.phase === 'measured';
  let over = false;
  void stage.load?.result.then(
    () => (over = true),
    () => (over = true),
  );
  while (!isNew() && !over && performance.now() < endMs)
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  return stage.progress;
}
