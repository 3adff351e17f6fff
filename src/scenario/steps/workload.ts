/** `workload: { script: …, for: 10s }`: another load, from the beginning of the step to its end. */
import { startWorkloadProcess, type WorkloadOptions } from '../../workload/index.js';
import type { LoadFile } from '../file/schema.js';
import type { RunStep } from './index.js';

export const workload: RunStep<'workload'> = async (step, { stage, signal, tell }) => {
  const load = startWorkloadProcess({
    ...loadOptions(stage.up.url, step.workload),
    seconds: step.workload.for / 1000,
    // Two loads at once would count one another's rows.
    ledger: stage.load === null,
    windows: () => stage.windows.map(({ window }) => window),
    onProgress: ({ tps, failed }) => tell(`${Math.round(tps)} transactions/s, ${failed} errors`),
    signal,
  });
  try {
    const result = await load.result;
    stage.stepLoads.push(result);
    const { transactions, failed, unknown } = result;
    return { ok: true, detail: `${transactions} transactions, ${failed + unknown} errors` };
  } finally {
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
