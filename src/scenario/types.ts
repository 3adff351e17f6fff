/** What a scenario reports while it runs, and its result: the JSON contract `dbproxy.demo/1`. */
import type { MoveRecord, UpResult } from '../control/api.js';
import type { StallWindow, TimelineBin, WorkloadProgress, WorkloadResult } from '../workload/index.js';

export interface StepResult {
  readonly name: string;
  readonly outcome: 'done' | 'failed';
  readonly ms: number;
}

export interface ExpectationResult {
  /** The promise, in words. */
  readonly text: string;
  /** What was seen. */
  readonly actual: string;
  readonly ok: boolean;
}

/** One switch as both ends saw it. */
export interface SwitchReport {
  /** The supervisor's record: phases, hold times, sessions. */
  readonly record: MoveRecord;
  /** The clients' view: calls that overlap the time in which sessions were held. */
  readonly stallMs: StallWindow;
  /** The load in 100 ms bins from before to after; `t` counts from the beginning of the hold. */
  readonly timeline: readonly TimelineBin[];
}

/** `dbproxy.demo/1` */
export interface DemoResult {
  readonly schema: 'dbproxy.demo/1';
  readonly scenario: string;
  readonly outcome: 'passed' | 'failed';
  readonly totalMs: number;
  readonly steps: readonly StepResult[];
  readonly expectations: readonly ExpectationResult[];
  readonly switches: readonly SwitchReport[];
  readonly workload: WorkloadResult;
  readonly engine: Pick<UpResult, 'provider' | 'providerReason'> & { readonly postgres: string };
}

export type DemoProgress =
  | { readonly kind: 'step'; readonly name: string; readonly detail: string }
  | { readonly kind: 'load'; readonly step: string; readonly load: WorkloadProgress };

export interface ScenarioOptions {
  readonly onProgress?: (progress: DemoProgress) => void;
  /** Ends the scenario early: what was started is stopped, then DBP_INTERRUPTED is thrown. */
  readonly signal?: AbortSignal;
}
