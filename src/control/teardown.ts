/** Ends everything that an instance runs, by its records and its directories, whoever started it. Idempotent. */
import { createOperations, createProvider } from './provider.js';
import type { EngineRecord } from '../engine/types.js';
import { DbproxyError } from '../errors/index.js';
import type { InstanceSpec } from './api.js';
import { newInstanceRecord, type InstanceDirectory } from './instance-directory.js';
import { unrecordedEngines } from './instance.js';
import { stopNodes } from './multiwriter/nodes.js';
import { StoreDirectory } from './multiwriter/store-directory.js';
import { findProxy, findTunnels, stopProxy, stopTunnels } from './proxy-process.js';
import type { InstanceRecord } from './records.js';

/** Returns what was ended: `proxy 123`, `engine e1 (124)`. */
export async function stopEverything(directory: InstanceDirectory): Promise<string[]> {
  const whole = await readIfWhole(directory);
  const record = whole ?? newInstanceRecord(unknownSpec(directory.paths.name));
  const proxy = await stopProxyOf(directory, record);
  const engines = await stopEngines(directory, record);
  // Last: until then they may have votes to give.
  const nodes = await stopNodes(new StoreDirectory(directory.paths));
  return [...proxy, ...engines, ...nodes, ...(whole ? [] : await sweepContainers(directory, 'containers'))];
}

/** Engines' data that is not below the instance's directory. They have ended. */
export async function removeData(directory: InstanceDirectory): Promise<void> {
  const record = await readIfWhole(directory);
  await removeEmbedded(directory, record ?? newInstanceRecord(unknownSpec(directory.paths.name)));
  const containers = record?.engines.filter(({ provider }) => provider === 'docker') ?? [];
  // Nothing of an embedded instance is anywhere else, and no container runtime need be there.
  if (record && record.spec.provider === 'embedded' && containers.length === 0) return;
  if (!record) {
    await sweepContainers(directory, 'all');
    return;
  }
  await createProvider('docker', directory.paths).sweep([], 'all');
}

/** One that was killed has left shared memory, which is found by its directory only. */
async function removeEmbedded(directory: InstanceDirectory, record: InstanceRecord): Promise<void> {
  const engines = [...record.engines, ...(await unrecordedEngines(directory.paths, record))];
  const provider = createProvider('embedded', directory.paths);
  for (const engine of engines.filter((each) => each.provider === 'embedded'))
    // The directory goes in any case.
    await provider.remove(engine).catch(() => undefined);
}

/** Without a record nobody knows whether there are any, nor needs there be a runtime. */
async function sweepContainers(directory: InstanceDirectory, what: 'containers' | 'all'): Promise<string[]> {
  try {
    return await createProvider('docker', directory.paths).sweep([], what);
  } catch (error) {
    if (error instanceof DbproxyError && error.code === 'DBP_ENV_DOCKER') return [];
    throw error;
  }
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
async function stopProxyOf(directory: InstanceDirectory, { spec }: InstanceRecord): Promise<string[]> {
  const running = await findProxy(directory);
  const tunnels = await findTunnels(directory, running);
  const proxies = await stopProxy(directory, running);
  await stopTunnels(tunnels);
  // Without TLS it is one that was just about to end.
  const kind = spec.tls ? 'TLS tunnel' : 'replaced proxy';
  const ended = tunnels.map((tunnel) => `${kind} ${tunnel.pid}`);
  return [...proxies.map((pid) => `proxy ${pid}`), ...ended];
}

async function stopEngines(directory: InstanceDirectory, record: InstanceRecord): Promise<string[]> {
  const engines = [...record.engines, ...(await unrecordedEngines(directory.paths, record))];
  if (engines.length === 0) return [];
  const provider = createOperations(record.spec.provider, directory.paths);
  const stopped = await Promise.all(
    engines.map(async (engine) => {
      const health = await provider.inspect(engine);
      // Only the primary's data is of use afterwards, and worth a shutdown checkpoint.
      await provider.stop(engine, isPrimary(engine, record) ? 'fast' : 'immediate');
      if (health.state === 'stopped') return [];
      return [`engine ${engine.id} (${health.process?.pid ?? engine.container?.name ?? 'container'})`];
    }),
  );
  return stopped.flat();
}

const isPrimary = (engine: EngineRecord, record: InstanceRecord): boolean =>
  record.primary === null || engine.id === record.primary;
