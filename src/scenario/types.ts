/** What a scenario reports while it runs, and its result: the JSON contract `dbproxy.demo/1`. */
import type { ConflictResult } from '../conflict/index.js';
import type { HandoverRecord, LogEvent, MoveRecord, UpResult } from '../control/api.js';
import type { ErrorJson } from '../errors/index.js';
import type { StallWindow, TimelineBin, WorkloadProgress, WorkloadResult } from '../workload/index.js';
import type { Verb } from './file/schema.js';

/** Of the scenario itself (`up`, `load`, …), or of its file. */
export interface StepResult {
  readonly name: string;
  readonly verb: Verb | 'up' | 'initialise' | 'load' | 'steady' | 'judge' | 'down';
  /** In the file; null of what the scenario does by itself. */
  readonly line: number | null;
  readonly outcome: 'done' | 'failed' | 'skipped';
  /** Since the scenario began. */
  readonly startMs: number;
  readonly ms: number;
  /** What it came to: `16 of 16 sessions moved, held 31 ms at most`. */
  readonly detail: string;
  /** Why it failed. */
  readonly error: ErrorJson | null;
}

export interface ExpectationResult {
  /** The promise, as the file says it. */
  readonly text: string;
  /** What was seen. */
  readonly actual: string;
  readonly ok: boolean;
  readonly line: number;
  readonly when: 'before' | 'after' | 'end';
}

/** What both ends saw of one operation. */
interface Seen {
  /** The clients' view: calls that overlap the time in which sessions were held. */
  readonly stallMs: StallWindow;
  /** The load in 100 ms bins from before to after; `t` counts from the beginning of the hold. */
  readonly timeline: readonly TimelineBin[];
}

/** One scale or patch. */
export interface SwitchReport extends Seen {
  /** The supervisor's record: phases, hold times, sessions. */
  readonly record: MoveRecord;
}

/** One patch --self. */
export interface HandoverReport extends Seen {
  readonly record: HandoverRecord;
}

/** `dbproxy.demo/1` */
export interface DemoResult {
  readonly schema: 'dbproxy.demo/1';
  readonly scenario: string;
  readonly file: string;
  /**
   * `failed`: a step came to something else than it had to, or an expectation does not hold. `errored`: a step could not be
   * done, or timed out; `error` says why. `interrupted`: by a signal.
   */
  readonly outcome: 'passed' | 'failed' | 'errored' | 'interrupted';
  readonly error: ErrorJson | null;
  /** All of it in one sentence. */
  readonly verdict: string;
  readonly startedAt: string;
  readonly totalMs: number;
  readonly steps: readonly StepResult[];
  readonly expectations: readonly ExpectationResult[];
  readonly switches: readonly SwitchReport[];
  readonly handovers: readonly HandoverReport[];
  /** One for each conflict step. */
  readonly conflicts: readonly ConflictResult[];
  /** The load of the scenario; null without one. */
  readonly workload: WorkloadResult | null;
  /** Those of single steps. */
  readonly stepWorkloads: readonly WorkloadResult[];
  /** Null when it did not come up. */
  readonly engine: (Pick<UpResult, 'provider' | 'providerReason'> & { readonly postgres: string }) | null;
  /** The instance that --keep has left; null when everything was removed. */
  readonly kept: { readonly instance: string; readonly url: string } | null;
}

/** `dbproxy.demos/1`: of more than one file. */
export interface DemosResult {
  readonly schema: 'dbproxy.demos/1';
  readonly outcome: DemoResult['outcome'];
  readonly demos: readonly DemoResult[];
}

export type DemoProgress =
  | { readonly kind: 'step'; readonly name: string; readonly detail: string }
  | { readonly kind: 'load'; readonly step: string; readonly load: WorkloadProgress }
  /** Of the instance. */
  | { readonly kind: 'event'; readonly event: LogEvent }
  | { readonly kind: 'expectation'; readonly expectation: ExpectationResult };

export interface ScenarioOptions {
  readonly onProgress?: (progress: DemoProgress) => void;
  /** Ends the scenario early: what was started is stopped; the result says so. */
  readonly signal?: AbortSignal;
  /** Leaves the instance behind. */
  readonly keep?: boolean;
  /** Its instance, before anything of it is started. */
  readonly onInstance?: (name: string) => void;
  /** Where its engines run, whatever the file says. */
  readonly provider?: 'auto' | 'embedded' | 'docker' | undefined;
  /** Of containers. */
  readonly image?: string | undefined;
}
