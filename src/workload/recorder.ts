/**
 * What happened in a run: every finished call goes in once, the numbers of the result come out.
 *
 * Times are performance.now(). A call is two numbers in typed arrays (16 bytes): stalls and the timeline are worked out at
 * the end, when the windows of the switches are known.
 */
import type { CallEnd } from './client.js';
import type { Work } from './work.js';
import { LatencyHistogram, percentileOf } from './histogram.js';
import type { StallSummary, StallWindow, SwitchWindow, TimelineBin, WorkResult } from './types.js';

const BIN_MS = 100;

/** Numbers that grow without an object each. */
class Numbers {
  #values = new Float64Array(4096);
  length = 0;
  push(value: number): void {
    if (this.length === this.#values.length) {
      const larger = new Float64Array(this.length * 2);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[this.length++] = value;
  }
  view(): Float64Array {
    return this.#values.subarray(0, this.length);
  }
}

export interface Call {
  readonly intendedMs: number;
  readonly sentMs: number;
  readonly doneMs: number;
  readonly end: CallEnd;
}

/** One of the works of a mixture. */
class Share {
  readonly work: Pick<Work, 'name' | 'weight' | 'ledger'>;
  readonly latency: LatencyHistogram;
  committed = 0;
  failed = 0;
  unknown = 0;
  constructor(work: Share['work'], latency = new LatencyHistogram()) {
    this.work = work;
    this.latency = latency;
  }
}

export class Recorder {
  readonly latency = new LatencyHistogram();
  readonly service = new LatencyHistogram();
  readonly lag = new LatencyHistogram();
  readonly errors = new Map<string, number>();
  /** The first message of each kind of error. */
  readonly examples = new Map<string, string>();
  committed = 0;
  failed = 0;
  unknown = 0;
  unfinished = 0;
  retried = 0;
  disconnects = 0;
  reconnects = 0;
  /** For the ledger: warm-up counts too. */
  acknowledged = 0;
  undecided = 0;
  /** All calls that ended, whatever their outcome; warm-up too. */
  finished = 0;

  /** Calls with an earlier intended start are warm-up. */
  readonly #fromMs: number;
  readonly #intended = new Numbers();
  readonly #done = new Numbers();
  readonly #errorsAt = new Numbers();
  #second: { secondCount: number; secondMaxMs: number | null } = { secondCount: 0, secondMaxMs: null };
  #lastDoneMs: number;
  #gap = { ms: 0, at: 0 };
  readonly #shares: readonly Share[];

  constructor(fromMs: number, works: readonly Share['work'][]) {
    // The only work of a run has the latencies of the run.
    this.#shares = works.map((work) => new Share(work, works.length === 1 ? this.latency : undefined));
    this.#fromMs = fromMs;
    this.#lastDoneMs = fromMs;
  }

  record(call: Call): void {
    const { intendedMs, sentMs, doneMs, end } = call;
    const share = this.#shares[end.work] as Share;
    this.#countForLedger(end, share);
    this.finished++;
    const second = this.#second;
    second.secondCount++;
    if (second.secondMaxMs === null || doneMs - intendedMs > second.secondMaxMs)
      second.secondMaxMs = doneMs - intendedMs;
    if (intendedMs < this.#fromMs) return;

    this.#intended.push(intendedMs);
    this.#done.push(doneMs);
    this.retried += end.retries;
    if (end.errors.length > 0) this.#countErrors(end, doneMs);
    this[end.outcome]++;
    share[end.outcome]++;
    if (end.outcome !== 'committed') return;
    this.latency.record(doneMs - intendedMs);
    if (share.latency !== this.latency) share.latency.record(doneMs - intendedMs);
    this.service.record(doneMs - sentMs);
    this.#closeGap(doneMs);
  }

  /** Open loop: a free client had to wait for us. */
  lagged(ms: number, intendedMs: number): void {
    if (intendedMs >= this.#fromMs) this.lag.record(ms);
  }

  /** A call that we ended ourselves, after the last bound of the run. */
  recordUnfinished({ intendedMs, end }: Call): void {
    this.#countForLedger(end, this.#shares[end.work] as Share);
    if (intendedMs >= this.#fromMs) this.unfinished++;
  }

  /** Calls since the last look, and the slowest of them: for the progress. */
  takeSecond(): { secondCount: number; secondMaxMs: number | null } {
    const second = this.#second;
    this.#second = { secondCount: 0, secondMaxMs: null };
    return second;
  }

  /** The longest time without a committed transaction, up to `untilMs`. */
  longestGap(untilMs: number): { ms: number; at: number } {
    this.#closeGap(untilMs);
    return this.#gap;
  }

  works(): WorkResult[] {
    return this.#shares.map(({ work: { name, weight }, committed, failed, unknown, latency }) => ({
      ...{ name, weight, transactions: committed, failed, unknown },
      latencyMs: latency.summary(),
    }));
  }

  timeline(): TimelineBin[] {
    const done = this.#done.view();
    const intended = this.#intended.view();
    const latencies: number[][] = [];
    done.forEach((doneMs, i) => {
      (latencies[this.#binOf(doneMs)] ??= []).push(doneMs - (intended[i] as number));
    });
    const errors: number[] = [];
    for (const atMs of this.#errorsAt.view()) {
      const bin = this.#binOf(atMs);
      errors[bin] = (errors[bin] ?? 0) + 1;
    }
    return Array.from({ length: latencies.length }, (_, bin) => {
      const values = latencies[bin] ?? [];
      return {
        t: bin * BIN_MS,
        tps: (values.length - (errors[bin] ?? 0)) * (1000 / BIN_MS),
        p99: rounded(percentileOf(values, 99)),
        max: rounded(percentileOf(values, 100)),
        errors: errors[bin] ?? 0,
      };
    });
  }

  /** Stalls: of the calls that overlap a window, whatever their outcome. Window times are performance.now() here. */
  stalls(windows: readonly SwitchWindow[]): StallSummary {
    const done = this.#done.view();
    const intended = this.#intended.view();
    const all: number[] = [];
    const perWindow = windows.map(({ from, to }): StallWindow => {
      const stalls: number[] = [];
      done.forEach((doneMs, i) => {
        const intendedMs = intended[i] as number;
        if (intendedMs <= to && doneMs >= from) stalls.push(doneMs - intendedMs);
      });
      for (const stall of stalls) all.push(stall);
      return { from, to, calls: stalls.length, ...quantiles(stalls) };
    });
    return { count: all.length, ...quantiles(all), windows: perWindow };
  }

  #countErrors(end: CallEnd, doneMs: number): void {
    for (const { sqlstate, message } of end.errors) {
      this.errors.set(sqlstate, (this.errors.get(sqlstate) ?? 0) + 1);
      if (!this.examples.has(sqlstate)) this.examples.set(sqlstate, message);
    }
    if (end.outcome !== 'committed') this.#errorsAt.push(doneMs);
  }

  #countForLedger({ outcome }: CallEnd, { work }: Share): void {
    if (work.ledger === 'none') return;
    if (outcome === 'committed') this.acknowledged++;
    if (outcome === 'unknown') this.undecided++;
  }

  #closeGap(untilMs: number): void {
    const ms = untilMs - this.#lastDoneMs;
    if (ms > this.#gap.ms) this.#gap = { ms, at: this.#lastDoneMs };
    this.#lastDoneMs = Math.max(untilMs, this.#lastDoneMs);
  }

  #binOf(atMs: number): number {
    return Math.max(Math.floor((atMs - this.#fromMs) / BIN_MS), 0);
  }
}

const rounded = (ms: number | null): number | null => (ms === null ? null : Math.round(ms * 1000) / 1000);

const quantiles = (
  values: readonly number[],
): { p50: number | null; p99: number | null; max: number | null } => ({
  p50: rounded(percentileOf(values, 50)),
  p99: rounded(percentileOf(values, 99)),
  max: rounded(percentileOf(values, 100)),
});
