/** The result of a scenario for people: what happened to the sessions, what the clients felt, whether the promise held. */
import type { DemoResult, HandoverReport, StepResult, SwitchReport } from '../../scenario/types.js';
import { HOLDING_STEPS } from '../../switchover/steps.js';
import { barOf } from '../../tui/sparkline.js';
import type { WorkloadResult } from '../../workload/index.js';
import { count, duration, withWarmUp } from '../format.js';
import type { Style } from '../style.js';
import { facts, table, type Column } from '../table.js';

/** Steps that only let time pass, or belong to the scenario itself, are told while it runs. */
const QUIET: ReadonlySet<StepResult['verb']> = new Set([
  ...(['up', 'initialise', 'load', 'steady', 'judge', 'down', 'sleep'] as const),
]);

export function demoView(result: DemoResult, style: Style): string {
  const { switches, handovers, workload } = result;
  return [
    `${style.strong(result.scenario)}  ${style.dim(aboutLine(result))}`,
    ...paragraph(stepLines(result, style)),
    ...paragraph(switches.length > 0 ? [switchTable(switches, style)] : []),
    ...paragraph([
      ...switches.map((each) => pictureLine(each, directionOf(each), style)),
      ...handovers.map((each) => pictureLine(each, 'patch --self', style)),
    ]),
    ...paragraph(workload ? [loadFacts(workload, style)] : []),
    ...paragraph(expectationLines(result, style)),
    '',
    verdictLine(result, style),
  ].join('\n');
}

const paragraph = (lines: readonly string[]): string[] => {
  const shown = lines.filter((line) => line !== '');
  return shown.length === 0 ? [] : ['', ...shown];
};

function aboutLine({ workload, engine }: DemoResult): string {
  const load = workload ? [workload.script, `${workload.clients} clients`] : [];
  return [...load, ...(engine ? [`PostgreSQL ${engine.postgres} (${engine.provider})`] : [])].join(', ');
}

/** What the file says, as far as it is more than a switch that the table has; and whatever went wrong. */
function stepLines({ steps }: DemoResult, style: Style): string[] {
  const told = steps.filter(({ verb, outcome }) => outcome !== 'done' || !QUIET.has(verb));
  if (told.every(({ verb, outcome }) => verb === 'scale' && outcome === 'done')) return [];
  return told.map(({ name, outcome, ms, detail }) => {
    const mark = outcome === 'done' ? style.ok : outcome === 'failed' ? style.fail : style.dim('–');
    const [first = ''] = detail.split('\n');
    const took = outcome === 'skipped' ? 'not reached' : [first, duration(ms)].filter(Boolean).join('  ');
    return `  ${mark} ${name}  ${style.dim(took)}`;
  });
}

function switchTable(switches: readonly SwitchReport[], style: Style): string {
  const right = (head: string): Column => ({ head, align: 'right' });
  const columns = [
    { head: 'switch' },
    right('sessions'),
    right('held p50'),
    right('p99'),
    right('max'),
    right('stall p50'),
    right('p99'),
    right('max'),
    right('whole'),
    { head: 'phases, ms' },
  ];
  return table(
    columns,
    switches.map((each) => {
      const { record, stallMs } = each;
      return [
        style.strong(directionOf(each)),
        `${record.sessions.moved}/${record.sessions.total}`,
        ...[record.holdMs.p50, record.holdMs.p99, record.holdMs.max].map(duration),
        ...[stallMs.p50, stallMs.p99, stallMs.max].map(duration),
        duration(record.totalMs),
        record.outcome === 'completed'
          ? style.dim(
              HOLDING_STEPS.map((phase) => `${phase} ${record.phasesMs[phase].toFixed(1)}`).join('  '),
            )
          : style.warn(`rolled back, ${record.attempts} attempts`),
      ];
    }),
    style,
  );
}

const directionOf = ({ record: { from, to } }: SwitchReport): string =>
  from.postgres === to.postgres ? `${from.size} → ${to.size}` : `${from.postgres} → ${to.postgres}`;

/** Throughput around the switch, 100 ms a character; the bins in which sessions were held stand out. */
function pictureLine(
  { stallMs, timeline }: SwitchReport | HandoverReport,
  title: string,
  style: Style,
): string {
  if (timeline.length === 0) return '';
  const highest = Math.max(1, ...timeline.map(({ tps }) => tps));
  const heldMs = stallMs.to - stallMs.from;
  const bars = timeline.map(({ t, tps, errors }) => {
    const bar = barOf(tps / highest);
    if (errors > 0) return style.bad(bar);
    if (tps === 0) return style.warn('·');
    const held = t + 100 > 0 && t <= heldMs;
    return held ? style.warn(bar) : style.good(bar);
  });
  return `  ${style.dim(title.padEnd(14))}  ${bars.join('')}  ${style.dim(`tps in 100 ms, highest ${count(highest)}`)}`;
}

const loadFacts = (workload: WorkloadResult, style: Style): string =>
  facts(
    [
      ['load', `${count(workload.transactions)} transactions committed at ${count(workload.tps)}/s`],
      [
        'latency',
        `p50 ${duration(workload.latencyMs.p50)}   p99 ${duration(workload.latencyMs.p99)}   max ${duration(workload.latencyMs.max)}`,
      ],
      ['errors', errorsLine(workload)],
      ['ledger', ledgerLine(workload)],
      [
        'note',
        workload.valid
          ? undefined
          : style.warn(`this machine was busy: ${workload.invalidReasons.join('; ')}`),
      ],
    ],
    style,
  );

function errorsLine({ errors, errorExamples }: WorkloadResult): string | undefined {
  const kinds = Object.entries(errors).map(
    ([sqlstate, times]) => `${sqlstate} × ${count(times)} (${errorExamples[sqlstate] ?? ''})`,
  );
  return kinds.length === 0 ? undefined : kinds.join('; ');
}

function ledgerLine(result: WorkloadResult): string | undefined {
  const { ledger } = result;
  if (ledger === null) return undefined;
  if (!ledger.ok) return ledger.problems.join('; ');
  const sum = count(ledger.history);
  return `accounts ${sum} = tellers ${sum} = branches ${sum} = history ${sum}; ${count(ledger.committed)} of ${count(ledger.acknowledged)} commits there${withWarmUp(result)}`;
}

const expectationLines = ({ expectations }: DemoResult, style: Style): string[] =>
  expectations.map(
    ({ text, actual, ok, when }) =>
      `  ${ok ? style.ok : style.fail} ${text.replace(/\s*\n\s*/g, ' ')}  ${style.dim(when === 'end' ? actual : `${actual}, ${when} the steps`)}`,
  );

function verdictLine({ outcome, verdict, totalMs, error }: DemoResult, style: Style): string {
  const words = outcome === 'passed' ? style.good(verdict) : style.bad(verdict);
  const why = error ? `\n${error.message}  ${style.dim(error.code)}` : '';
  return `${style.strong(words)}  ${style.dim(`${duration(totalMs)} in all; a demo, not a benchmark`)}${why}`;
}
