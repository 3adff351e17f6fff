/** The arithmetic of the load: percentiles, arrivals, windows, the ledger's verdict. No database. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Arrivals } from '../../src/workload/arrivals.js';
import { LatencyHistogram, percentileOf } from '../../src/workload/histogram.js';
import { EMPTY_LEDGER, judgeLedger } from '../../src/workload/ledger.js';
import { seededRandom, uniform } from '../../src/workload/random.js';
import { Recorder } from '../../src/workload/recorder.js';
import type { CallEnd } from '../../src/workload/client.js';

const latencies = fc.array(fc.double({ min: 0, max: 60_000, noNaN: true }), { minLength: 1, maxLength: 400 });

/** What the percentile means, counted the slow way. */
const nearestRank = (values: readonly number[], percent: number): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(Math.ceil((percent / 100) * sorted.length), 1) - 1]!;
};

describe('latency histogram', () => {
  test('percentiles are within 0.1 % or 1 µs of the nearest rank', () => {
    fc.assert(
      fc.property(latencies, (values) => {
        const histogram = new LatencyHistogram();
        for (const value of values) histogram.record(value);
        const summary = histogram.summary();
        for (const [name, percent] of [
          ['p50', 50],
          ['p90', 90],
          ['p99', 99],
        ] as const) {
          const exact = nearestRank(values, percent);
          expect(Math.abs(summary[name]! - exact)).toBeLessThanOrEqual(exact * 0.001 + 0.0011);
        }
        expect(summary.max).toBeCloseTo(Math.max(...values), 2);
        expect(summary.count).toBe(values.length);
      }),
    );
  });

  test('the counts hold every value, each under its bound', () => {
    fc.assert(
      fc.property(latencies, (values) => {
        const histogram = new LatencyHistogram();
        for (const value of values) histogram.record(value);
        const { counts } = histogram.summary();
        expect(counts.reduce((sum, [, n]) => sum + n, 0)).toBe(values.length);
        for (const [bound] of counts) {
          const upTo = counts.filter(([each]) => each <= bound).reduce((sum, [, n]) => sum + n, 0);
          expect(upTo).toBe(values.filter((value) => Math.round(value * 1000) <= bound * 1000).length);
        }
      }),
    );
  });

  test('of nothing there is no percentile', () => {
    expect(new LatencyHistogram().summary()).toMatchObject({
      count: 0,
      p50: null,
      p99: null,
      max: null,
      counts: [],
    });
    expect(percentileOf([], 99)).toBeNull();
  });
});

describe('random numbers', () => {
  test('the same seed gives the same numbers; another stream others', () => {
    const take = (seed: number, stream: number): number[] => {
      const random = seededRandom(seed, stream);
      return Array.from({ length: 20 }, () => random());
    };
    expect(take(7, 1)).toEqual(take(7, 1));
    expect(take(7, 1)).not.toEqual(take(7, 2));
    expect(take(7, 1)).not.toEqual(take(8, 1));
  });

  test('uniform stays within its bounds and reaches both', () => {
    fc.assert(
      fc.property(
        fc.integer(),
        fc.integer({ min: -50, max: 50 }),
        fc.integer({ min: 0, max: 5 }),
        (seed, low, span) => {
          const random = seededRandom(seed);
          const drawn = new Set(Array.from({ length: 500 }, () => uniform(random, low, low + span)));
          expect([...drawn].sort((a, b) => a - b)).toEqual(
            Array.from({ length: span + 1 }, (_, i) => low + i),
          );
        },
      ),
    );
  });
});

describe('arrivals', () => {
  test('are fixed by the seed, come in order, and as often as asked for', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1, max: 5_000 }), (seed, rate) => {
        const first = new Arrivals(seededRandom(seed), rate, 100);
        const second = new Arrivals(seededRandom(seed), rate, 100);
        const take = (arrivals: Arrivals): number[] => Array.from({ length: 3_000 }, () => arrivals.take());
        const times = take(first);
        expect(first.peek()).toBeGreaterThan(times.at(-1)!);
        expect(take(second)).toEqual(times);
        expect(times).toEqual([...times].sort((a, b) => a - b));
        const lastMs = times.at(-1)!;
        // 3 000 exponential gaps: the mean's standard deviation is 1.8 %.
        expect((lastMs - 100) / 3_000 / (1000 / rate)).toBeGreaterThan(0.88);
        expect((lastMs - 100) / 3_000 / (1000 / rate)).toBeLessThan(1.12);
      }),
      { numRuns: 20 },
    );
  });

  test('are a Poisson process: the variance of the counts is their mean', () => {
    const arrivals = new Arrivals(seededRandom(11), 500, 0);
    const perWindow = new Array<number>(2_000).fill(0);
    while (arrivals.peek() < 2_000 * 20) perWindow[Math.floor(arrivals.take() / 20)]!++;
    const mean = perWindow.reduce((sum, n) => sum + n, 0) / perWindow.length;
    const variance = perWindow.reduce((sum, n) => sum + (n - mean) ** 2, 0) / perWindow.length;
    expect(mean).toBeGreaterThan(9.5);
    expect(mean).toBeLessThan(10.5);
    expect(variance / mean).toBeGreaterThan(0.85);
    expect(variance / mean).toBeLessThan(1.15);
  });
});

describe('recorder', () => {
  const committed: CallEnd = { outcome: 'committed', errors: [], retries: 0, work: 0 };
  const works = [{ name: 'tpcb-like', weight: 1, ledger: 'all' }] as const;
  const lost = { sqlstate: '08006', lost: true, outcome: 'unknown', retryable: false, message: '' } as const;
  const unknown: CallEnd = { outcome: 'unknown', errors: [lost], retries: 0, work: 0 };
  const call = (intendedMs: number, doneMs: number, end = committed): Parameters<Recorder['record']>[0] => ({
    intendedMs,
    sentMs: intendedMs,
    doneMs,
    end,
  });

  test('a stall is of the calls that overlap the window, from their intended start', () => {
    const recorder = new Recorder(0, works);
    recorder.record(call(10, 90)); // before
    recorder.record(call(60, 160)); // across its beginning
    recorder.record(call(110, 140)); // inside
    recorder.record(call(190, 230)); // across its end
    recorder.record(call(201, 299)); // after
    const { windows, ...all } = recorder.stalls([{ from: 100, to: 200 }]);
    expect(all).toEqual({ count: 3, p50: 40, p99: 100, max: 100 });
    expect(windows).toEqual([{ from: 100, to: 200, calls: 3, p50: 40, p99: 100, max: 100 }]);
  });

  test('warm-up counts in the ledger and nowhere else', () => {
    const recorder = new Recorder(1_000, works);
    recorder.record(call(900, 1_100));
    recorder.record(call(950, 1_100, unknown));
    recorder.record(call(1_000, 1_001));
    expect(recorder).toMatchObject({ committed: 1, unknown: 0, acknowledged: 2, undecided: 1 });
    expect(recorder.latency.summary().count).toBe(1);
  });

  test('the longest gap sees the beginning and the end of the run', () => {
    const gapOf = (...done: number[]): unknown => {
      const recorder = new Recorder(0, works);
      for (const atMs of done) recorder.record(call(atMs - 1, atMs));
      return recorder.longestGap(1_000);
    };
    expect(gapOf(600, 700, 990)).toEqual({ ms: 599 + 1, at: 0 });
    expect(gapOf(100, 450, 700)).toEqual({ ms: 350, at: 100 });
    expect(gapOf(100, 200)).toEqual({ ms: 800, at: 200 });
  });

  test('the timeline counts completions and errors by 100 ms', () => {
    const recorder = new Recorder(0, works);
    recorder.record(call(1, 50));
    recorder.record(call(2, 250));
    recorder.record(call(3, 260, unknown));
    expect(recorder.timeline()).toEqual([
      { t: 0, tps: 10, p99: 49, max: 49, errors: 0 },
      { t: 100, tps: 0, p99: null, max: null, errors: 0 },
      { t: 200, tps: 10, p99: 257, max: 257, errors: 1 },
    ]);
    expect(Object.fromEntries(recorder.errors)).toEqual({ '08006': 1 });
  });
});

describe('the ledger', () => {
  const sums = { accounts: 30, tellers: 30, branches: 30, history: 30, historyRows: 10 };

  test('is exact when the sums agree and every acknowledged commit is there', () => {
    expect(judgeLedger(sums, { acknowledged: 10, unknown: 0 })).toMatchObject({ ok: true, problems: [] });
    expect(judgeLedger(sums, { acknowledged: 8, unknown: 2 }).ok).toBe(true);
  });

  test.each([
    ['a lost commit', sums, { acknowledged: 11, unknown: 0 }, '1 of 11 acknowledged'],
    ['a transaction done twice', sums, { acknowledged: 9, unknown: 0 }, 'nobody acknowledged'],
    [
      'half a transaction',
      { ...sums, tellers: 29 },
      { acknowledged: 10, unknown: 0 },
      'tellers add up to 29',
    ],
    [
      'a lost account update',
      { ...sums, accounts: 0 },
      { acknowledged: 10, unknown: 0 },
      'accounts add up to 0',
    ],
    [
      'a lost branch update',
      { ...sums, branches: 31 },
      { acknowledged: 10, unknown: 0 },
      'branches add up to 31',
    ],
  ])('finds %s', (_, now, claim, words) => {
    const verdict = judgeLedger(now, claim);
    expect(verdict.ok).toBe(false);
    expect(verdict.problems.join()).toContain(words);
  });

  test('counts from its baseline, and knows what simple-update leaves alone', () => {
    const now = { accounts: 35, tellers: 30, branches: 30, history: 35, historyRows: 12 };
    const claim = { acknowledged: 2, unknown: 0, baseline: sums };
    expect(judgeLedger(now, { ...claim, kinds: new Set(['accounts'] as const) }).ok).toBe(true);
    expect(judgeLedger(now, claim).ok).toBe(false);
    expect(judgeLedger(EMPTY_LEDGER, { acknowledged: 0, unknown: 0 }).ok).toBe(true);
  });
});
