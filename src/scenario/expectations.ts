/** The promise of a live switch, clause by clause. */
import type { WorkloadResult } from '../workload/index.js';
import type { ExpectationResult, SwitchReport } from './types.js';

/** Generous: a laptop on battery must pass. The benchmark's goal is 100 ms. */
export const DEMO_STALL_BOUND_MS = 1_000;

export function judge(switches: readonly SwitchReport[], workload: WorkloadResult): ExpectationResult[] {
  const { failed, unknown, unfinished, disconnects, ledger } = workload;
  const completed = switches.filter(({ record }) => record.outcome === 'completed');
  const left = switches.reduce((sum, { record }) => sum + record.sessions.total - record.sessions.moved, 0);
  const worstMs = Math.max(...switches.map(({ stallMs }) => stallMs.max ?? Infinity));
  return [
    {
      text: 'both switches completed',
      actual: `${completed.length} of ${switches.length}`,
      ok: switches.length === 2 && completed.length === 2,
    },
    {
      text: 'every session moved',
      actual: left === 0 ? 'all of them' : `${left} did not`,
      ok: left === 0 && completed.length > 0,
    },
    {
      text: 'not one transaction failed',
      actual: failed + unknown + unfinished === 0 ? '0 errors' : errorsInWords(workload),
      ok: failed + unknown + unfinished === 0,
    },
    { text: 'not one connection was lost', actual: `${disconnects} disconnects`, ok: disconnects === 0 },
    {
      text: 'the ledger is exact',
      actual: ledger === null ? 'not checked' : ledger.ok ? 'exact' : ledger.problems.join('; '),
      ok: ledger?.ok === true,
    },
    {
      text: `no call stalled for more than ${DEMO_STALL_BOUND_MS} ms`,
      actual: Number.isFinite(worstMs) ? `${worstMs.toFixed(1)} ms` : 'no call met a switch',
      ok: worstMs <= DEMO_STALL_BOUND_MS,
    },
  ];
}

function errorsInWords({ failed, unknown, unfinished, errors }: WorkloadResult): string {
  const states = Object.entries(errors).map(([sqlstate, n]) => `${n} × ${sqlstate}`);
  const words = [
    failed > 0 ? `${failed} failed` : '',
    unknown > 0 ? `${unknown} unknown` : '',
    unfinished > 0 ? `${unfinished} unfinished` : '',
  ].filter((word) => word !== '');
  return `${words.join(', ')}${states.length > 0 ? ` (${states.join(', ')})` : ''}`;
}
