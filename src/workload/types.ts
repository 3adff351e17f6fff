/**
 * What a workload run is asked for and what it answers: the JSON contract `dbproxy.workload/1`.
 * Durations are ms; times called `…At`, `from` and `to` are ms since the Unix epoch.
 */
import type { LedgerVerdict } from './ledger.js';
import type { LatencySummary } from './histogram.js';

/** How a statement goes over the wire: the three modes that pgbench calls by the same names. */
export const PROTOCOLS = ['simple', 'extended', 'prepared'] as const;
export type Protocol = (typeof PROTOCOLS)[number];

/** When transactions of an open loop are due: at random times (a Poisson process), or at equal distances. */
export const ARRIVAL_KINDS = ['poisson', 'uniform'] as const;
export type ArrivalKind = (typeof ARRIVAL_KINDS)[number];

export interface WorkloadOptions {
  /** `postgres://user:password@host:port/database`; a Unix socket as `postgres://user@/database?host=/directory&port=…`. */
  readonly url: string;
  /** The name of a workload, or a file in pgbench's syntax; several are a mixture, each may end in `@WEIGHT`. */
  readonly script: string | readonly string[];
  /** Connections; at most so many transactions are in flight. */
  readonly clients: number;
  /** Open loop: transactions a second. Absent: closed loop, each client as fast as it can. */
  readonly ratePerSecond?: number;
  /** Of the open loop. Default: poisson. */
  readonly arrivals?: ArrivalKind;
  /** Measured time; an abort of `signal` ends it sooner. */
  readonly seconds: number;
  /** Runs before the measured time and counts in the ledger only. */
  readonly warmupSeconds?: number;
  /** Seed of the arrivals and of the rows that are touched. */
  readonly seed?: number;
  readonly protocol?: Protocol;
  /** `:scale` of the scripts. Default: the number of rows in pgbench_branches; without such a table 1. */
  readonly scale?: number;
  /** Tries a transaction again after 40001 and 40P01, at most so often. Its latency goes on from the intended start. */
  readonly retries?: number;
  /** Adds up the ledger before and after. Default true; it reads every account twice. */
  readonly ledger?: boolean;
  /** Asked once, at the end: when did switches hold the sessions? */
  readonly windows?: () => readonly SwitchWindow[] | Promise<readonly SwitchWindow[]>;
  /** Everybody is connected and the clock runs. */
  readonly onStart?: () => void;
  /** Once a second, warm-up included. */
  readonly onProgress?: (progress: WorkloadProgress) => void;
  /** Ends the run gracefully: what is in flight is finished, the result is complete. */
  readonly signal?: AbortSignal;
}

/** The time in which a switch held sessions. */
export interface SwitchWindow {
  readonly from: number;
  readonly to: number;
}

export interface WorkloadProgress {
  readonly phase: 'warm-up' | 'measured';
  readonly elapsedSeconds: number;
  readonly transactions: number;
  readonly failed: number;
  readonly unknown: number;
  readonly disconnects: number;
  /** Of the last second. */
  readonly tps: number;
  /** Of the last second; null if nothing completed. */
  readonly maxMs: number | null;
}

export interface StallWindow extends SwitchWindow {
  /** Calls whose time from intended start to completion overlaps the window. */
  readonly calls: number;
  readonly p50: number | null;
  readonly p99: number | null;
  readonly max: number | null;
}

/** Stall: completion − intended start of the calls that overlap a switch, over all windows. */
export interface StallSummary {
  readonly count: number;
  readonly p50: number | null;
  readonly p99: number | null;
  readonly max: number | null;
  readonly windows: readonly StallWindow[];
}

export interface TimelineBin {
  /** Start of the bin, ms since the measured time began. */
  readonly t: number;
  readonly tps: number;
  /** Highest and 99th percentile latency of what completed in the bin; null when nothing did. */
  readonly p99: number | null;
  readonly max: number | null;
  readonly errors: number;
}

/** What became of one work of a mixture. */
export interface WorkResult {
  readonly name: string;
  readonly weight: number;
  readonly transactions: number;
  readonly failed: number;
  readonly unknown: number;
  readonly latencyMs: LatencySummary;
}

/** `dbproxy.workload/1` */
export interface WorkloadResult {
  readonly schema: 'dbproxy.workload/1';
  /** `tpcb-like`; of a mixture `tpcb-like@1, reads.sql@9`. */
  readonly script: string;
  readonly works: readonly WorkResult[];
  readonly protocol: Protocol;
  readonly mode: 'closed' | 'open';
  readonly clients: number;
  /** Offered transactions a second; null in a closed loop. */
  readonly rate: number | null;
  readonly arrivals: ArrivalKind | null;
  readonly scale: number;
  readonly seed: number;
  /** When the measured time began. */
  readonly startedAt: number;
  /** Measured time as it was. */
  readonly seconds: number;
  readonly warmupSeconds: number;
  /** Committed. Together with `failed`, `unknown` and `unfinished`: everything that was due in the measured time. */
  readonly transactions: number;
  /** Ended by an error that says that nothing was committed. */
  readonly failed: number;
  /** The connection was lost, or 08007 came, while COMMIT was in flight. */
  readonly unknown: number;
  /** Due, but not begun or not answered when the run's last bound ran out. */
  readonly unfinished: number;
  readonly retried: number;
  readonly disconnects: number;
  readonly reconnects: number;
  /** By SQLSTATE; 08006 is a connection that ended without a word, `state-lost` what a probe found missing. */
  readonly errors: Readonly<Record<string, number>>;
  /** The first message of each. */
  readonly errorExamples: Readonly<Record<string, string>>;
  /** From the intended start (open loop) to the answer of the last statement; committed transactions. */
  readonly latencyMs: LatencySummary;
  /** From the first byte sent. Equals the latency in a closed loop. */
  readonly serviceMs: LatencySummary;
  /** Open loop: how late the generator itself was with a free connection at hand; null in a closed loop. */
  readonly scheduleLagMs: LatencySummary | null;
  readonly tps: number;
  readonly stallMs: StallSummary;
  /** The longest time in which nothing completed, and when it began. */
  readonly longestGapMs: { readonly ms: number; readonly at: number };
  /** Bins of 100 ms. */
  readonly timeline: readonly TimelineBin[];
  /** Null when it was not asked for, when nothing is written that it knows of, or something else writes its tables. */
  readonly ledger: LedgerVerdict | null;
  /** CPU of this process for the whole run, µs per transaction. */
  readonly generatorCpuUs: number | null;
  /** False: do not quote these numbers; `invalidReasons` says why. */
  readonly valid: boolean;
  readonly invalidReasons: readonly string[];
}
