/**
 * Another size for a container that runs: what the runtime can change of it, and what only a new container has. Its configuration
 * is written from inside: by an archive the runtime would mount everything once more, also the socket of an embedded primary
 * that is gone.
 */
import { DbproxyError } from '../../../errors/index.js';
import { CONFIGURATION_FILE, configuration, preloadOf, synchronousOf } from '../../configuration.js';
import type { EngineRecord, PendingRestart, SizeName } from '../../types.js';
import { DATA, limitsOf } from './container.js';
import { containerName, type Owner } from './naming.js';
import { answered, statusOf, type Container, type Runtime } from './runtime.js';

const MIB = 1024 * 1024;

const containerOf = ({ docker }: Runtime, owner: Owner, { id }: EngineRecord): Container =>
  docker.getContainer(containerName(owner, id));

/** CPU and memory, of a running container. Throws DBP_ENGINE_RESIZE when the runtime refuses. */
export async function updateLimits(
  runtime: Runtime,
  owner: Owner,
  engine: EngineRecord,
  size: SizeName,
): Promise<void> {
  const { NanoCpus, Memory, MemorySwap } = limitsOf(size, runtime);
  try {
    await answered(containerOf(runtime, owner, engine).update({ NanoCpus, Memory, MemorySwap }));
  } catch (cause) {
    if (statusOf(cause) === null) throw cause;
    const reason = (cause as Error).message;
    throw new DbproxyError('DBP_ENGINE_RESIZE', { engine: engine.id, size, reason }, { cause });
  }
}

/** Shared memory is mounted when a container is made. */
export async function pendingShm(
  runtime: Runtime,
  owner: Owner,
  engine: EngineRecord,
): Promise<PendingRestart[]> {
  const { HostConfig } = await answered(containerOf(runtime, owner, engine).inspect());
  const [current, wanted] = [HostConfig.ShmSize ?? 0, limitsOf(engine.size, runtime)['ShmSize'] ?? 0];
  if (current === wanted) return [];
  const inMb = (bytes: number): string => `${Math.floor(bytes / MIB)}MB`;
  return [{ name: '/dev/shm', current: inMb(current), wanted: inMb(wanted) }];
}

const CONFIGURATION = `${DATA}/${CONFIGURATION_FILE}`;
const REPLACE = `printf %s "$1" >${CONFIGURATION}.new && mv ${CONFIGURATION}.new ${CONFIGURATION}`;

/**
 * That of a primary, of the size of the record; the libraries that it loads stay. `standby`: commits wait for that one (undefined: for
 * whom they wait now; null: for nobody). Throws DBP_ENGINE_RESIZE, also when the container does not run: its next start writes the
 * configuration by itself.
 */
export async function replaceConfiguration(
  runtime: Runtime,
  owner: Owner,
  engine: EngineRecord,
  { standby }: { readonly standby?: string | null } = {},
): Promise<void> {
  const container = containerOf(runtime, owner, engine);
  const exec = async (...command: string[]): Promise<string> => {
    const failed = (reason: string, cause?: unknown): DbproxyError =>
      new DbproxyError('DBP_ENGINE_RESIZE', { engine: engine.id, size: engine.size, reason }, { cause });
    const { output, exitCode } = await answered(runtime.client.container.exec(container, command)).catch(
      (cause: Error) => {
        throw statusOf(cause) === null ? cause : failed(cause.message, cause);
      },
    );
    if (exitCode === 0) return output;
    throw failed(`${command[0]} in its container: ${output.trim()}`);
  };
  const before = await exec('cat', CONFIGURATION);
  const text = configuration(engine.id, engine.size, {
    machine: runtime.machine,
    preload: preloadOf(before),
    synchronous: standby === undefined ? synchronousOf(before) : (standby ?? undefined),
  });
  await exec('sh', '-c', REPLACE, 'sh', text);
}
