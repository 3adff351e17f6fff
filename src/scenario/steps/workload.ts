/** `workload: { script: …, for: 10s }`: another load, from the beginning of the step to its end, or `until` something is so. */
import { startWorkloadProcess, type WorkloadOptions } from '../../workload/index.js';
import type { LoadFile } from '../file/schema.js';
import { switchWindowsOf } from '../stage.js';
import type { RunStep } from './index.js';
import { sizeReached } from './until.js';

export const workload: RunStep<'workload'> = async (step, { stage, signal, tell }) => {
  const { until } = step.workload;
  const over = new AbortController();
  const enough = new AbortController();
  const load = startWorkloadProcess({
    ...loadOptions(stage.up.url, step.workload),
    seconds: step.workload.for / 1000,
    // Two loads at once would count one another's rows.
    ledger: stage.load === null,
    windows: () => switchWindowsOf(stage),
    onProgress: ({ tps, failed }) => tell(`${Math.round(tps)} transactions/s, ${failed} errors`),
    signal: AbortSignal.any([signal, enough.signal]),
  });
  // Its failures are the load's: what it asks is gone, too.
  if (until) {
    void load.started
      .then(() => sizeReached(stage, until.size, over.signal))
      .then(
        () => enough.abort(),
        () => {},
      );
  }
  try {
    const result = await load.result;
    stage.stepLoads.push(result);
    const { transactions, failed, unknown } = result;
    const reached = !until || enough.signal.aborted;
    const missed = reached ? '' : `; the size never was ${until.size}`;
    return { ok: reached, detail: `${transactions} transactions, ${failed + unknown} errors${missed}` };
  } finally {
    over.abort();
    load.kill();
  }
};

/** What the file says of a load, as the workload wants it. */
export const loadOptions = (url: string, given: LoadFile): Omit<WorkloadOptions, 'seconds'> => ({
  ...{ url, script: given.script, clients: given.clients },
  ...(given.rate === undefined ? {} : { ratePerSecond: given.rate }),
  ...(given.arrivals === undefined ? {} : { arrivals: given.arrivals }),
  ...(given.protocol === undefined ? {} : { protocol: given.protocol }),
  ...(given.retries === undefined ? {} : { retries: given.retries }),
  ...(given.seed === undefined ? {} : { seed: given.seed }),
});
