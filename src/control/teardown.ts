/** Ends everything that an instance runs, by its records and its directories, whoever started it. Idempotent. */
import { createProvider } from './provider.js';
import type { EngineRecord } from '../engine/types.js';
import type { InstanceDirectory } from './instance-directory.js';
import { unrecordedEngines } from './instance.js';
import { findProxy, stopProxy } from './proxy-process.js';
import type { InstanceRecord } from './records.js';

/** Returns what was ended: `proxy 123`, `engine e1 (124)`. */
export async function stopEverything(directory: InstanceDirectory): Promise<string[]> {
  const record = await directory.readInstance();
  const proxy = await stopProxyOf(directory);
  const engines = record ? await stopEngines(directory, record) : [];
  return [...proxy, ...engines];
}

/** The proxy first: its clients are told that it goes, not that their engine is lost. */
async function stopProxyOf(directory: InstanceDirectory): Promise<string[]> {
  const pid = await stopProxy(directory, await findProxy(directory));
  return pid === null ? [] : [`proxy ${pid}`];
}

async function stopEngines(directory: InstanceDirectory, record: InstanceRecord): Promise<string[]> {
  const provider = createProvider(record.spec.provider);
  const engines = [...record.engines, ...(await unrecordedEngines(directory.paths, record))];
  const stopped = await Promise.all(
    engines.map(async (engine) => {
      const health = await provider.inspect(engine);
      // Only the primary's data is of use afterwards, and worth a shutdown checkpoint.
      await provider.stop(engine, isPrimary(engine, record) ? 'fast' : 'immediate');
      return health.state === 'stopped' ? [] : [`engine ${engine.id} (${health.process.pid})`];
    }),
  );
  return stopped.flat();
}

const isPrimary = (engine: EngineRecord, record: InstanceRecord): boolean => engine.id === record.primary;
