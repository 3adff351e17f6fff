/**
 * A chart of a report: data that assets/report/charts.js draws with uPlot in the reader's browser, and the same figures as a
 * table for whoever cannot see it or has no script.
 */
import type { SwitchWindow, TimelineBin } from '../workload/index.js';
import { html, json, type Html } from './html.js';
import { table } from './table.js';
import { count, duration } from '../cli/format.js';

export interface ChartWindow {
  /** Seconds on the chart's axis. */
  readonly from: number;
  readonly to: number;
}

export interface Chart {
  readonly title: string;
  /** What it shows, in a sentence. */
  readonly summary: string;
  readonly unit: 'tps' | 'ms';
  /** Seconds. */
  readonly x: readonly number[];
  readonly series: readonly { readonly name: string; readonly values: readonly (number | null)[] }[];
  /** The times in which sessions were held. */
  readonly windows: readonly ChartWindow[];
  readonly table: Html;
}

export function figure({ title, summary, table: figures, ...drawn }: Chart): Html {
  return html`<figure class="chart">
    <figcaption><strong>${title}</strong> ${summary}</figcaption>
    <div class="canvas" role="img" aria-label="${title}. ${summary}">
      <script type="application/json">
        ${json(drawn)}
      </script>
    </div>
    <details>
      <summary>The figures as a table</summary>
      ${figures}
    </details>
  </figure>`;
}

const toSeconds = (ms: number): number => Math.round(ms) / 1_000;

/** `fromMs` is where the axis of the bins begins, in the time of the windows. */
export function throughput(
  bins: readonly TimelineBin[],
  windows: readonly ChartWindow[],
): Omit<Chart, 'title' | 'table'> {
  const highest = Math.max(0, ...bins.map(({ tps }) => tps));
  return {
    summary: `Transactions per second in bins of 100 ms, ${count(highest)} at most.`,
    unit: 'tps',
    x: bins.map(({ t }) => toSeconds(t)),
    series: [{ name: 'transactions/s', values: bins.map(({ tps }) => tps) }],
    windows,
  };
}

export function latency(
  bins: readonly TimelineBin[],
  windows: readonly ChartWindow[],
): Omit<Chart, 'title' | 'table'> {
  const highest = Math.max(0, ...bins.map(({ max }) => max ?? 0));
  return {
    summary: `The slowest transaction and the 99th percentile of every 100 ms, ${duration(highest)} at most.`,
    unit: 'ms',
    x: bins.map(({ t }) => toSeconds(t)),
    series: [
      { name: 'slowest', values: bins.map(({ max }) => max) },
      { name: 'p99', values: bins.map(({ p99 }) => p99) },
    ],
    windows,
  };
}

export const windowsOn = (windows: readonly SwitchWindow[], axisFromMs: number): ChartWindow[] =>
  windows.map(({ from, to }) => ({ from: toSeconds(from - axisFromMs), to: toSeconds(to - axisFromMs) }));

const HEADS = ['time', 'transactions/s', 'p99', 'slowest', 'errors'];

/** Every bin. */
export const binTable = (caption: string, bins: readonly TimelineBin[]): Html =>
  table(
    caption,
    HEADS,
    bins.map(({ t, tps, p99, max, errors }) => [
      `${toSeconds(t).toFixed(1)} s`,
      ...[count(tps), duration(p99), duration(max), count(errors)],
    ]),
  );

const BINS_PER_SECOND = 10;

/** A row for each second: the mean of the rates, the worst of the latencies. */
export function secondTable(caption: string, bins: readonly TimelineBin[]): Html {
  const seconds: TimelineBin[] = [];
  for (let i = 0; i < bins.length; i += BINS_PER_SECOND) {
    const part = bins.slice(i, i + BINS_PER_SECOND);
    seconds.push({
      t: part[0]?.t ?? 0,
      tps: sum(part.map(({ tps }) => tps)) / part.length,
      p99: highestOf(part.map(({ p99 }) => p99)),
      max: highestOf(part.map(({ max }) => max)),
      errors: sum(part.map(({ errors }) => errors)),
    });
  }
  return binTable(caption, seconds);
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const highestOf = (values: readonly (number | null)[]): number | null => {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : Math.max(...known);
};
