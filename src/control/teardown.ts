/** Ends everything that an instance runs, by its records and its directories, whoever started it. Idempotent. */
import { createProvider } from './provider.js';
import type { EngineRecord } from '../engine/types.js';
import { DbproxyError } from '../errors/index.js';
import type { InstanceSpec } from './api.js';
import { newInstanceRecord, type InstanceDirectory } from './instance-directory.js';
import { unrecordedEngines } from './instance.js';
import { findProxy, stopProxy } from './proxy-process.js';
import type { InstanceRecord } from './records.js';

/** Returns what was ended: `proxy 123`, `engine e1 (124)`. */
export async function stopEverything(directory: InstanceDirectory): Promise<string[]> {
  const record = (await readIfWhole(directory)) ?? newInstanceRecord(unknownSpec(directory.paths.name));
  const proxy = await stopProxyOf(directory);
  return [...proxy, ...(await stopEngines(directory, record))];
}

/** A record that is damaged or lost must not keep anything running: the engines are found by their directories then. */
async function readIfWhole(directory: InstanceDirectory): Promise<InstanceRecord | null> {
  try {
    return await directory.readInstance();
  } catch (error) {
    if (error instanceof DbproxyError && error.code === 'DBP_INSTANCE_DAMAGED') return null;
    throw error;
  }
}

const unknownSpec = (name: string): InstanceSpec => ({
  name,
  provider: 'embedded',
  providerReason: 'unknown',
  postgres: '17',
  size: 'small',
  host: '127.0.0.1',
  port: 1,
  maxSessions: 1,
});

/** The proxy first: its clients are told that it goes, not that their engine is lost. */
async function stopProxyOf(directory: InstanceDirectory): Promise<string[]> {
  const pid = await stopProxy(directory, await findProxy(directory));
  return pid === null ? [] : [`proxy ${pid}`];
}

async function stopEngines(directory: InstanceDirectory, record: InstanceRecord): Promise<string[]> {
  const engines = [...record.engines, ...(await unrecordedEngines(directory.paths, record))];
  if (engines.length === 0) return [];
  const provider = createProvider(record.spec.provider);
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

const isPrimary = (engine: EngineRecord, record: InstanceRecord): boolean =>
  record.primary === null || engine.id === record.primary;
