/** What has been done so far: told as it begins, timed, bounded, and left as soon as the scenario is interrupted. */
import { setTimeout as delay } from 'node:timers/promises';
import { DbproxyError } from '../errors/index.js';
import type { DemoProgress, StepResult } from './types.js';

export interface Task {
  readonly name: string;
  readonly verb: StepResult['verb'];
  readonly line?: number;
  readonly detail?: string;
  readonly timeoutMs?: number;
}

export interface TaskEnd {
  readonly detail: string;
  readonly ok: boolean;
}

export class Timeline {
  readonly #signal: AbortSignal;
  readonly #onProgress: (progress: DemoProgress) => void;
  readonly #results: StepResult[] = [];
  readonly #startMs = performance.now();
  #current = '';

  /** `signal`: its reason is the error that everything ends with. */
  constructor(signal: AbortSignal, onProgress: (progress: DemoProgress) => void) {
    this.#signal = signal;
    this.#onProgress = onProgress;
  }

  get results(): readonly StepResult[] {
    return this.#results;
  }
  get totalMs(): number {
    return Math.round(performance.now() - this.#startMs);
  }
  get current(): string {
    return this.#current;
  }

  tell(detail: string): void {
    this.#onProgress({ kind: 'step', name: this.#current, detail });
  }

  /** An interruption and a timeout end the waiting, not the work: that is for the clean-up. */
  async run(task: Task, work: (signal: AbortSignal) => Promise<TaskEnd>): Promise<TaskEnd> {
    const { name: what, timeoutMs } = task;
    const limits = new AbortController();
    const timer =
      timeoutMs === undefined
        ? undefined
        : setTimeout(() => limits.abort(timedOut(`step "${what}"`, timeoutMs)), timeoutMs);
    const signal = AbortSignal.any([this.#signal, limits.signal]);
    try {
      return await this.always(task, () => orAborted(work, signal));
    } finally {
      clearTimeout(timer);
    }
  }

  /** Also when the scenario has been interrupted. */
  async always(task: Task, work: () => Promise<TaskEnd>): Promise<TaskEnd> {
    this.#current = task.name;
    this.tell(task.detail ?? '');
    const beganMs = performance.now();
    const record = (end: Pick<StepResult, 'outcome' | 'detail' | 'error'>): void => {
      this.#results.push({
        ...{ name: task.name, verb: task.verb, line: task.line ?? null, ...end },
        startMs: Math.round(beganMs - this.#startMs),
        ms: Math.round(performance.now() - beganMs),
      });
    };
    try {
      const end = await work();
      record({ outcome: end.ok ? 'done' : 'failed', detail: end.detail, error: null });
      return end;
    } catch (thrown) {
      const error = DbproxyError.from(thrown);
      record({ outcome: 'failed', detail: error.message, error: error.toJSON() });
      throw error;
    }
  }

  skip({ name, verb, line }: Task): void {
    const startMs = this.totalMs;
    this.#results.push({
      name,
      verb,
      line: line ?? null,
      outcome: 'skipped',
      startMs,
      ms: 0,
      detail: '',
      error: null,
    });
  }

  /** Lets time pass, unless `unless` ends (the load must not): then this rejects, or goes on at once. */
  async until(ms: number, signal: AbortSignal, unless: Promise<unknown>): Promise<void> {
    const passed = new AbortController();
    const waiting = delay(ms, undefined, { signal: AbortSignal.any([signal, passed.signal]) });
    await Promise.race([waiting, unless]).finally(() => {
      waiting.catch(() => {});
      passed.abort();
    });
  }
}

export const timedOut = (what: string, limitMs: number): DbproxyError =>
  new DbproxyError('DBP_SCENARIO_TIMEOUT', { what, limitMs: Math.round(limitMs) });

/** The reason of an aborted signal as an error of ours. */
export const reasonOf = ({ reason }: AbortSignal): DbproxyError =>
  reason instanceof DbproxyError ? reason : new DbproxyError('DBP_INTERRUPTED', { signal: 'SIGINT' });

async function orAborted<T>(work: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) throw reasonOf(signal);
  let onAbort: () => void = () => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(reasonOf(signal));
    signal.addEventListener('abort', onAbort);
  });
  const working = work(signal);
  // What is left behind may fail later, and nobody waits for it.
  working.catch(() => {});
  try {
    return await Promise.race([working, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
