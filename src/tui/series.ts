/** Numbers over time, one for every second; what comes more often than that becomes one. */

export interface Series {
  readonly values: readonly (number | null)[];
  /** The second (since 1970) that the last value belongs to. */
  readonly second: number;
}

/** As many as the widest sparkline shows. */
const LENGTH = 120;

export const NO_SERIES: Series = { values: [], second: 0 };

/** Within a second the later value counts, or with `highest` the higher one. Seconds of which nothing is known are gaps. */
export function add(
  { values, second }: Series,
  atMs: number,
  value: number | null,
  keep: 'latest' | 'highest' = 'latest',
): Series {
  const now = Math.floor(atMs / 1_000);
  if (now <= second) {
    const last = values.at(-1) ?? null;
    const best = keep === 'latest' ? (value ?? last) : max(last, value);
    return { values: [...values.slice(0, -1), best], second };
  }
  const gap = values.length === 0 ? 0 : Math.min(now - second - 1, LENGTH);
  return { values: [...values, ...Array<null>(gap).fill(null), value].slice(-LENGTH), second: now };
}

const max = (a: number | null, b: number | null): number | null =>
  a === null ? b : b === null ? a : Math.max(a, b);
