/** Small pictures of numbers: a series as a line of bars, durations as a histogram. */

const BARS = '▁▂▃▄▅▆▇█';

/** The last `width` values, the newest at the right; null leaves a gap. The highest one shown is the highest bar. */
export function sparkline(values: readonly (number | null)[], width: number): string {
  const shown = values.slice(-width);
  const top = Math.max(...shown.map((value) => value ?? 0), Number.MIN_VALUE);
  return shown
    .map((value) => (value === null ? ' ' : barOf(value / top)))
    .join('')
    .padStart(width);
}

/** Of 0 to 1. */
export const barOf = (fraction: number): string =>
  BARS[Math.min(BARS.length - 1, Math.floor(Math.max(0, fraction) * BARS.length))] ?? ' ';

/** Upper ends of the histogram's buckets, ms; the last one is open. */
export const HOLD_BUCKETS_MS = [1, 2, 5, 10, 20, 50, 100, 200, 500, Infinity] as const;

/** How many of the durations fall into each bucket. */
export const histogram = (durationsMs: readonly number[]): number[] => {
  const counts = HOLD_BUCKETS_MS.map(() => 0);
  for (const ms of durationsMs) {
    const bucket = HOLD_BUCKETS_MS.findIndex((end) => ms <= end);
    counts[bucket] = (counts[bucket] ?? 0) + 1;
  }
  return counts;
};

/** An empty bucket is a gap; any other has at least the lowest bar. */
export function bars(counts: readonly number[]): string {
  const top = Math.max(...counts, 1);
  return counts.map((count) => (count === 0 ? ' ' : barOf(count / top))).join('');
}
