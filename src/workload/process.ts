/**
 * Runs a workload in a process of its own: same options, same result as `runWorkload`.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { DbproxyError, type ErrorJson } from '../errors/index.js';
import { DRAIN_BOUND_MS } from './driver.js';
import type { SwitchWindow, WorkloadOptions, WorkloadProgress, WorkloadResult } from './types.js';

/** From src/workload as from dist/workload this is the built worker. */
const WORKER_MAIN = fileURLToPath(new URL('../../dist/workload/worker.js', import.meta.url));
/** Connecting and adding up the ledger, before and after. */
const OVERHEAD_BOUND_MS = 120_000;

/** What can cross to another process. */
export type WorkerRun = Omit<WorkloadOptions, 'windows' | 'onStart' | 'onProgress' | 'signal'>;

export type ToWorker =
  | { readonly kind: 'run'; readonly options: WorkerRun }
  | { readonly kind: 'stop' }
  | { readonly kind: 'windows'; readonly windows: readonly SwitchWindow[] };

export type FromWorker =
  | { readonly kind: 'started' }
  | { readonly kind: 'progress'; readonly progress: WorkloadProgress }
  | { readonly kind: 'windows?' }
  | { readonly kind: 'result'; readonly result: WorkloadResult }
  | { readonly kind: 'error'; readonly error: ErrorJson };

export interface WorkloadProcess {
  readonly pid: number;
  /** Every client is connected and the clock runs. Rejects as `result` does. */
  readonly started: Promise<void>;
  /** Rejects with what `runWorkload` threw, or DBP_WORKLOAD_PROCESS when the process ended without a result. */
  readonly result: Promise<WorkloadResult>;
  /** Ends the run gracefully; `result` then resolves. */
  stop(): void;
  /** Ends the process at once; `result` then rejects, unless it is there already. Idempotent. */
  kill(): void;
}

export function startWorkloadProcess(options: WorkloadOptions): WorkloadProcess {
  const { windows, onStart, onProgress, signal, ...run } = options;
  // Not the loaders and inspectors of the parent: the worker is a built file.
  const child = fork(WORKER_MAIN, { execArgv: [], stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  const tell = (message: ToWorker): void => {
    if (child.connected) child.send(message);
  };
  const stop = (): void => tell({ kind: 'stop' });

  let onStarted: () => void = () => {};
  const began = new Promise<void>((resolve) => (onStarted = resolve));
  const result = new Promise<WorkloadResult>((resolve, reject) => {
    child.on('message', (message: FromWorker) => {
      switch (message.kind) {
        case 'started':
          onStart?.();
          return onStarted();
        case 'progress':
          return onProgress?.(message.progress);
        case 'windows?':
          return void askWindows(windows).then(
            (found) => tell({ kind: 'windows', windows: found }),
            (error: unknown) => (reject(DbproxyError.from(error)), child.kill('SIGKILL')),
          );
        case 'result':
          return resolve(message.result);
        case 'error':
          return reject(DbproxyError.fromJSON(message.error));
      }
    });
    child.once('error', (cause) => reject(ended(cause.message, cause)));
    child.once('exit', (code, by) => reject(ended(by === null ? `exit ${code}` : by)));
  });
  signal?.addEventListener('abort', stop);
  const bound = boundOf(child, options);
  const settled = (): void => {
    clearTimeout(bound);
    signal?.removeEventListener('abort', stop);
  };
  result.then(settled, settled);
  const started = Promise.race([began, result.then(() => {})]);
  started.catch(() => {});

  tell({ kind: 'run', options: run });
  if (signal?.aborted) stop();
  return { pid: child.pid ?? -1, started, result, stop, kill: () => void child.kill('SIGKILL') };
}

const askWindows = async (windows: WorkloadOptions['windows']): Promise<readonly SwitchWindow[]> =>
  (await windows?.()) ?? [];

const ended = (reason: string, cause?: unknown): DbproxyError =>
  new DbproxyError('DBP_WORKLOAD_PROCESS', { reason }, { cause });

function boundOf(child: ChildProcess, { seconds, warmupSeconds = 0 }: WorkloadOptions): NodeJS.Timeout {
  const boundMs = (seconds + warmupSeconds) * 1000 + DRAIN_BOUND_MS + OVERHEAD_BOUND_MS;
  const timer = setTimeout(() => child.kill('SIGKILL'), Math.min(boundMs, 2 ** 31 - 1));
  timer.unref();
  return timer;
}
