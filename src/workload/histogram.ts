/**
 * Latency distribution: HDR histogram in µs (0.1 % resolution), summarised in ms.
 */
import { build, type Histogram } from 'hdr-histogram-js';

export interface LatencySummary {
  readonly count: number;
  readonly mean: number | null;
  readonly p50: number | null;
  readonly p90: number | null;
  readonly p95: number | null;
  readonly p99: number | null;
  readonly p999: number | null;
  readonly max: number | null;
  /** How many values lie above the bound before and at most at this one: `[boundMs, n]`, empty buckets left out. */
  readonly counts: readonly (readonly [boundMs: number, n: number])[];
}

/** 0.05 ms … 500 s in steps of 1-2-5; what is longer is counted under the last. */
const BOUNDS_US = [1, 2, 3, 4, 5, 6, 7, 8].flatMap((power) => [1, 2, 5].map((m) => m * 10 ** power)).slice(2);
const HIGHEST_US = 3_600_000_000;

export class LatencyHistogram {
  readonly #histogram: Histogram = build({
    bitBucketSize: 32,
    autoResize: false,
    lowestDiscernibleValue: 1,
    highestTrackableValue: HIGHEST_US,
    numberOfSignificantValueDigits: 3,
  });
  readonly #buckets = new Float64Array(BOUNDS_US.length);
  /** Kept apart: the histogram rounds. */
  #maxUs = 0;

  record(ms: number): void {
    const us = Math.min(Math.max(Math.round(ms * 1000), 0), HIGHEST_US);
    this.#histogram.recordValue(us);
    if (us > this.#maxUs) this.#maxUs = us;
    let bucket = 0;
    while (bucket < BOUNDS_US.length - 1 && us > (BOUNDS_US[bucket] as number)) bucket++;
    this.#buckets[bucket] = (this.#buckets[bucket] as number) + 1;
  }

  summary(): LatencySummary {
    const count = this.#histogram.totalCount;
    const percentile = (p: number): number | null =>
      count === 0 ? null : Math.min(this.#histogram.getValueAtPercentile(p), this.#maxUs) / 1000;
    return {
      count,
      mean: count === 0 ? null : Math.round(this.#histogram.mean) / 1000,
      p50: percentile(50),
      p90: percentile(90),
      p95: percentile(95),
      p99: percentile(99),
      p999: percentile(99.9),
      max: count === 0 ? null : this.#maxUs / 1000,
      counts: BOUNDS_US.flatMap((bound, i) => {
        const n = this.#buckets[i] as number;
        return n === 0 ? [] : [[bound / 1000, n] as const];
      }),
    };
  }
}

/** The value at or below which `percent` of the values lie (nearest rank); null of none. Sorts a copy. */
export function percentileOf(values: ArrayLike<number>, percent: number): number | null {
  const sorted = Float64Array.from(values).sort();
  const rank = Math.max(Math.ceil((percent / 100) * sorted.length), 1);
  return sorted[rank - 1] ?? null;
}
