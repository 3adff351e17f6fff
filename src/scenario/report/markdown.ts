/** For pull requests and $GITHUB_STEP_SUMMARY. */
import type { DemoResult, HandoverReport, SwitchReport } from '../types.js';

export const markdown = (results: readonly DemoResult[]): string => `${results.map(section).join('\n\n')}\n`;

function section(result: DemoResult): string {
  const { scenario, verdict, file, totalMs, error, steps, expectations, switches, handovers, workload } =
    result;
  return [
    `## ${mark(result.outcome === 'passed')} ${cell(scenario)}`,
    `${verdict} \`${file}\`, ${(totalMs / 1000).toFixed(1)} s.`,
    error && `> **${error.code}** ${inOneLine(error.message)}`,
    expectations.length > 0 &&
      table(
        ['', 'expectation', 'seen'],
        expectations.map(({ ok, text, actual, when }) => [
          mark(ok),
          `\`${inOneLine(text)}\`${when === 'end' ? '' : ` (${when})`}`,
          inOneLine(actual),
        ]),
      ),
    switches.length > 0 &&
      table(
        ['switch', 'outcome', 'sessions', 'held p99, ms', 'stall p50', 'stall max', 'whole'],
        switches.map(switchRow),
      ),
    handovers.length > 0 &&
      table(
        ['patch --self', 'handed over', 'lost', 'held p99, ms', 'stall p50', 'stall max', 'whole'],
        handovers.map(handoverRow),
      ),
    workload &&
      table(
        ['load', 'committed', 'per second', 'errors', 'p50, ms', 'p99', 'max'],
        [
          [
            workload.script,
            String(workload.transactions),
            workload.tps.toFixed(0),
            String(workload.failed + workload.unknown + workload.unfinished),
            ...[workload.latencyMs.p50, workload.latencyMs.p99, workload.latencyMs.max].map(ms),
          ],
        ],
      ),
    details(
      'steps',
      table(
        ['', 'step', 'ms', ''],
        steps.map(({ name, outcome, ms: took, detail }) => [
          outcome === 'skipped' ? '–' : mark(outcome === 'done'),
          inOneLine(name),
          String(took),
          inOneLine(detail),
        ]),
      ),
    ),
  ]
    .filter(Boolean)
    .join('\n\n');
}

const switchRow = ({ record, stallMs }: SwitchReport): string[] => [
  `${record.from.size} ${record.from.postgres} → ${record.to.size} ${record.to.postgres}`,
  record.outcome,
  `${record.sessions.moved}/${record.sessions.total}`,
  ms(record.holdMs.p99),
  ms(stallMs.p50),
  ms(stallMs.max),
  ms(record.totalMs),
];

const handoverRow = ({ record, stallMs }: HandoverReport): string[] => [
  `process ${record.from.pid} → ${record.to.pid}`,
  String(record.sessions.handed),
  String(record.sessions.lost),
  ms(record.holdMs.count === 0 ? null : record.holdMs.p99),
  ms(stallMs.p50),
  ms(stallMs.max),
  ms(record.totalMs),
];

const inOneLine = (text: string): string => text.trim().replace(/\s*\n\s*/g, ' ');
const mark = (ok: boolean): string => (ok ? '✅' : '❌');
const ms = (value: number | null): string => (value === null ? '–' : value.toFixed(1));
const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('<', '&lt;');
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...rows.map((row) => row.map(cell))]
    .map((row) => `| ${row.join(' | ')} |`)
    .join('\n');
const details = (title: string, text: string): string =>
  `<details><summary>${title}</summary>\n\n${text}\n\n</details>`;
