/** What both ways are asked for, and what both answer. */
import type { WorkloadOptions, WorkloadResult } from '../../src/workload/index.js';

export interface StallPlan {
  readonly switches: number;
  readonly quietMs: number;
  readonly pauseMs: number;
  readonly clients: number;
  /** Further sessions that are connected and do nothing. */
  readonly idle: number;
  readonly scale: number;
  /** Only switches: not how long `up` and the scale of an idle database take. */
  readonly brief: boolean;
  /** Default: half of the saturation, which is then measured. */
  readonly ratePerSecond?: number;
}

export interface StallSeries {
  readonly name: string;
  readonly note: string;
  readonly postgres: string;
  readonly ratePerSecond: number;
  /** The worst stall of each switch. */
  readonly stalls: readonly number[];
  readonly workload: WorkloadResult;
}

const WARMUP_SECONDS = 5;

/** The same load for both. Ends when it is stopped. */
export const loadOptions = (
  url: string,
  { clients, scale }: StallPlan,
  ratePerSecond: number,
): Omit<WorkloadOptions, 'windows'> => ({
  url,
  script: 'tpcb-like',
  clients,
  ratePerSecond,
  scale,
  seed: 1,
  seconds: 24 * 3600,
  warmupSeconds: WARMUP_SECONDS,
});

export const warmupMs = WARMUP_SECONDS * 1000;
