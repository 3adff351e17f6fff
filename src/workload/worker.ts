/**
 * Entry of the load's own process (`process.ts` forks it): the generator must not share an event loop with whoever
 * controls the switches, or it would measure that.
 */
import { DbproxyError } from '../errors/index.js';
import type { FromWorker, ToWorker, WorkerRun } from './process.js';
import { runWorkload } from './runner.js';
import type { SwitchWindow } from './types.js';

const stop = new AbortController();
let giveWindows: (windows: readonly SwitchWindow[]) => void = () => {};
const windows = new Promise<readonly SwitchWindow[]>((resolve) => (giveWindows = resolve));

const tell = (message: FromWorker): void => {
  if (process.connected) process.send?.(message);
};

process.on('message', (message: ToWorker) => {
  if (message.kind === 'run') void run(message.options);
  if (message.kind === 'stop') stop.abort();
  if (message.kind === 'windows') giveWindows(message.windows);
});
// Ctrl-C goes to the whole process group: what happens to the load is the parent's decision.
process.on('SIGINT', () => {});
// Without a parent nobody wants the result.
process.on('disconnect', () => process.exit(1));

async function run(options: WorkerRun): Promise<void> {
  try {
    const result = await runWorkload({
      ...options,
      signal: stop.signal,
      onStart: () => tell({ kind: 'started' }),
      onProgress: (progress) => tell({ kind: 'progress', progress }),
      windows: () => {
        tell({ kind: 'windows?' });
        return windows;
      },
    });
    tell({ kind: 'result', result });
  } catch (error) {
    tell({ kind: 'error', error: DbproxyError.from(error).toJSON() });
  }
  process.disconnect();
}
