/** What the clients of a load saw: charts over the whole run, latencies, errors, the ledger. */
import type { WorkloadResult } from '../workload/index.js';
import { figure, latency, secondTable, throughput, windowsOn } from './chart.js';
import { html, type Html } from './html.js';
import { facts, table } from './table.js';
import { count, duration, plural, withWarmUp } from '../cli/format.js';
import { moment } from './moment.js';

export function workloadSection(load: WorkloadResult): Html {
  return html`<section>
    <h2>What the clients saw</h2>
    ${facts([
      ['load', loadInWords(load)],
      ['committed', `${count(load.transactions)} transactions, ${count(load.tps)} per second`],
      ['errors', errorsInWords(load)],
      ['disconnects', count(load.disconnects)],
      ['longest time without an answer', duration(load.longestGapMs.ms)],
      ['ledger', ledgerInWords(load)],
      ['measured', `${duration(load.seconds * 1_000)} from ${moment(load.startedAt)}`],
      ['seed', String(load.seed)],
    ])}
    ${load.invalidReasons.map((reason) => html`<p class="beware">Do not quote these numbers: ${reason}.</p>`)}
    ${charts(load)} ${latencyTable(load)}
  </section>`;
}

function charts({ timeline, stallMs, startedAt }: WorkloadResult): Html {
  const windows = windowsOn(stallMs.windows, startedAt);
  const held = windows.length === 0 ? '' : ` Sessions were held ${plural(windows.length, 'time')}, marked.`;
  const rate = throughput(timeline, windows);
  const slow = latency(timeline, windows);
  return html`${figure({
    ...rate,
    title: 'Throughput',
    summary: rate.summary + held,
    table: secondTable('Throughput and latency, each second', timeline),
  })}
  ${figure({
    ...slow,
    title: 'Latency, from the intended start',
    summary: slow.summary + held,
    table: secondTable('Latency and throughput, each second', timeline),
  })}`;
}

function latencyTable({ latencyMs, serviceMs, stallMs }: WorkloadResult): Html {
  const rows = [
    ['latency', latencyMs],
    ['service time', serviceMs],
  ] as const;
  return table(
    'Percentiles',
    ['', 'n', 'p50', 'p90', 'p95', 'p99', 'p99.9', 'slowest'],
    [
      ...rows.map(([name, { count: n, p50, p90, p95, p99, p999, max }]) => [
        name,
        count(n),
        ...[p50, p90, p95, p99, p999, max].map(duration),
      ]),
      [
        'stall',
        count(stallMs.count),
        duration(stallMs.p50),
        '',
        '',
        duration(stallMs.p99),
        '',
        duration(stallMs.max),
      ],
    ],
  );
}

const loadInWords = ({ script, clients, rate, protocol, scale }: WorkloadResult): string =>
  `${script}, ${plural(clients, 'client')}, ${
    rate === null ? 'as fast as they can' : `${count(rate)} transactions/s offered`
  }, scale ${scale}, ${protocol} protocol`;

function errorsInWords({ errors, unknown, unfinished }: WorkloadResult): string {
  const parts = Object.entries(errors).map(([sqlstate, n]) => `${count(n)} × ${sqlstate}`);
  if (unknown > 0) parts.push(`${count(unknown)} of unknown outcome`);
  if (unfinished > 0) parts.push(`${count(unfinished)} not answered in time`);
  return parts.length === 0 ? 'none' : parts.join(', ');
}

function ledgerInWords(load: WorkloadResult): string | undefined {
  const { ledger } = load;
  if (!ledger) return undefined;
  if (!ledger.ok) return ledger.problems.join('; ');
  return `exact: ${count(ledger.acknowledged)} commits acknowledged, ${count(ledger.committed)} in the history${withWarmUp(load)}`;
}
