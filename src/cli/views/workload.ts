/** The result of a workload run for people. */
import type { WorkloadProgress, WorkloadResult } from '../../workload/index.js';
import { count, duration, plural, withWarmUp } from '../format.js';
import type { Style } from '../style.js';
import { facts } from '../table.js';

export function workloadView(result: WorkloadResult, style: Style): string {
  const { failed, unknown, disconnects, ledger, valid } = result;
  const clean = failed === 0 && unknown === 0 && disconnects === 0 && ledger?.ok !== false;
  const load =
    result.rate === null
      ? 'as fast as they can'
      : `${count(result.rate)} transactions/s offered (${result.arrivals})`;
  return [
    `${clean ? style.ok : style.caution} ${style.strong(result.script)}  ${count(result.transactions)} transactions in ${duration(result.seconds * 1000)}`,
    '',
    facts(
      [
        [
          'load',
          `${plural(result.clients, 'client')}, ${load}, scale ${result.scale}, ${result.protocol} protocol`,
        ],
        ['rate', `${count(result.tps)} transactions/s`],
        ['latency', latencyLine(result)],
        ...workLines(result),
        ['stall', stallLine(result)],
        ['errors', errorsLine(result, style)],
        ...exampleLines(result, style),
        ['ledger', ledgerLine(result, style)],
        ...result.invalidReasons.map(
          (reason, index) => [index === 0 ? 'beware' : '', style.warn(reason)] as const,
        ),
        ['', valid && result.seconds < 30 ? style.dim('a short run: a demo, not a benchmark') : undefined],
      ],
      style,
    ),
  ].join('\n');
}

export const workloadProgressLine = ({ elapsedSeconds, tps, failed, maxMs }: WorkloadProgress): string =>
  `${Math.round(elapsedSeconds)} s  ${count(tps)} tps  max ${duration(maxMs)}  ${plural(failed, 'error')}`;

const latencyLine = ({
  latencyMs: { p50, p95, p99, p999, max },
}: Pick<WorkloadResult, 'latencyMs'>): string =>
  `p50 ${duration(p50)}   p95 ${duration(p95)}   p99 ${duration(p99)}   p99.9 ${duration(p999)}   max ${duration(max)}`;

/** The parts of a mixture. */
const workLines = ({ works }: WorkloadResult): (readonly [string, string])[] =>
  works.length === 1
    ? []
    : works.map((work) => [work.name, `${count(work.transactions)} transactions   ${latencyLine(work)}`]);

const exampleLines = ({ errorExamples }: WorkloadResult, style: Style): (readonly [string, string])[] =>
  Object.entries(errorExamples).map(([sqlstate, message]) => ['', style.dim(`${sqlstate}: ${message}`)]);

function stallLine({ stallMs }: WorkloadResult): string | undefined {
  if (stallMs.count === 0) return undefined;
  const { p50, p99, max, windows } = stallMs;
  return `p50 ${duration(p50)}   p99 ${duration(p99)}   max ${duration(max)}   over ${plural(windows.length, 'switch')}`;
}

function errorsLine(result: WorkloadResult, style: Style): string {
  const parts = Object.entries(result.errors).map(([sqlstate, times]) => `${sqlstate} × ${count(times)}`);
  if (result.unknown > 0) parts.push(`${count(result.unknown)} of unknown outcome`);
  if (result.disconnects > 0) parts.push(plural(result.disconnects, 'disconnect'));
  return parts.length === 0 ? 'none' : style.bad(parts.join(', '));
}

function ledgerLine(result: WorkloadResult, style: Style): string | undefined {
  const { ledger } = result;
  if (!ledger) return undefined;
  if (ledger.ok)
    return `exact: ${count(ledger.acknowledged)} acknowledged, ${count(ledger.committed)} in the history${withWarmUp(result)}`;
  return style.bad(ledger.problems.join('; '));
}
