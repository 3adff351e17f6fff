/** Distribution of hold times: exact, there are at most as many as sessions. */
import type { HoldTimes } from './control-api.js';

/** Nearest-rank percentiles of durations in ms, rounded to µs. */
export const holdTimes = (durationsMs: readonly number[]): HoldTimes => {
  const sorted = durationsMs.toSorted((a, b) => a - b);
  const at = (quantile: number): number => {
    const value = sorted[Math.max(0, Math.ceil(quantile * sorted.length) - 1)] ?? 0;
    return Math.round(value * 1_000) / 1_000;
  };
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1) };
};
