/** The result of a scenario for people: what happened to the sessions, what the clients felt, whether the promise held. */
import type { DemoResult, SwitchReport } from '../../scenario/types.js';
import type { PhasesMs } from '../../control/api.js';
import { count, duration } from '../format.js';
import type { Style } from '../style.js';
import { facts, table, type Column } from '../table.js';

const PHASES = [
  'drain',
  'fence',
  'catchup',
  'promote',
  'move',
] as const satisfies readonly (keyof PhasesMs)[];
const BARS = '▁▂▃▄▅▆▇█';

export function demoView(result: DemoResult, style: Style): string {
  const { switches, workload } = result;
  return [
    `${style.strong('Two switches under load')}  ${style.dim(loadLine(result))}`,
    '',
    switchTable(switches, style),
    '',
    ...switches.map((each) => pictureLine(each, style)),
    '',
    facts(
      [
        ['load', `${count(workload.transactions)} transactions committed at ${count(workload.tps)}/s`],
        [
          'latency',
          `p50 ${duration(workload.latencyMs.p50)}   p99 ${duration(workload.latencyMs.p99)}   max ${duration(workload.latencyMs.max)}`,
        ],
        ['ledger', ledgerLine(result)],
        [
          'note',
          workload.valid
            ? undefined
            : style.warn(`this machine was busy: ${workload.invalidReasons.join('; ')}`),
        ],
      ],
      style,
    ),
    '',
    ...promiseLines(result, style),
    '',
    verdictLine(result, style),
  ].join('\n');
}

const loadLine = ({ workload, engine }: DemoResult): string =>
  `${workload.script}, ${workload.clients} clients, PostgreSQL ${engine.postgres} (${engine.provider})`;

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
    switches.map(({ record, stallMs }) => [
      style.strong(`${record.from.size} → ${record.to.size}`),
      `${record.sessions.moved}/${record.sessions.total}`,
      ...[record.holdMs.p50, record.holdMs.p99, record.holdMs.max].map(duration),
      ...[stallMs.p50, stallMs.p99, stallMs.max].map(duration),
      duration(record.totalMs),
      style.dim(PHASES.map((phase) => `${phase} ${record.phasesMs[phase].toFixed(1)}`).join('  ')),
    ]),
    style,
  );
}

/** Throughput around the switch, 100 ms a character; the bins in which sessions were held stand out. */
function pictureLine({ record, stallMs, timeline }: SwitchReport, style: Style): string {
  const highest = Math.max(1, ...timeline.map(({ tps }) => tps));
  const heldMs = stallMs.to - stallMs.from;
  const bars = timeline.map(({ t, tps, errors }) => {
    const bar = BARS[Math.min(Math.floor((tps / highest) * BARS.length), BARS.length - 1)] ?? ' ';
    if (errors > 0) return style.bad(bar);
    if (tps === 0) return style.warn('·');
    const held = t + 100 > 0 && t <= heldMs;
    return held ? style.warn(bar) : style.good(bar);
  });
  const direction = `${record.from.size} → ${record.to.size}`.padEnd(14);
  return `  ${style.dim(direction)}  ${bars.join('')}  ${style.dim(`tps in 100 ms, highest ${count(highest)}`)}`;
}

function ledgerLine({ workload: { ledger } }: DemoResult): string | undefined {
  if (ledger === null) return undefined;
  if (!ledger.ok) return ledger.problems.join('; ');
  const sum = count(ledger.history);
  return `accounts ${sum} = tellers ${sum} = branches ${sum} = history ${sum}; ${count(ledger.committed)} of ${count(ledger.acknowledged)} commits there`;
}

const promiseLines = ({ expectations }: DemoResult, style: Style): string[] =>
  expectations.map(({ text, actual, ok }) => `  ${ok ? style.ok : style.fail} ${text}  ${style.dim(actual)}`);

function verdictLine({ outcome, totalMs }: DemoResult, style: Style): string {
  const verdict =
    outcome === 'passed'
      ? style.good('The database was replaced twice. Nobody noticed.')
      : style.bad('The promise did not hold.');
  return `${style.strong(verdict)}  ${style.dim(`${duration(totalMs)} in all; a demo, not a benchmark`)}`;
}
