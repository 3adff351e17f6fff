/**
 * The docker provider: an engine is a container on the instance's own network, its data in a volume, its port published on
 * 127.0.0.1 only, with the CPU and memory of its size. Containers outlive the command that made them and are found again by
 * their names and labels; a stop removes the container, a remove the volume too.
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DbproxyError } from '../../../errors/index.js';
import { CONFIGURATION_FILE, configuration, preloadOf, SUPERUSER } from '../../configuration.js';
import { askFacts, askRecovery } from '../../facts.js';
import { pendingSettings, reloadConfiguration } from '../../pending-restart.js';
import type {
  EngineHealth,
  EngineProvider,
  EngineRecord,
  ProvisionOptions,
  SocketAccess,
} from '../../types.js';
import { DATA, file, newCluster, putFiles, removeContainer } from './container.js';
import { howItEnded, type ContainerFacts } from './ended.js';
import {
  assertIsVersion,
  assertMajor,
  assertVersion,
  ensureImage,
  hasImage,
  imageName,
  majorOf,
  type Image,
} from './image.js';
import { keepLog } from './log.js';
import { containerName, volumeName, type Owner, type OwnerWithCache } from './naming.js';
import { removeNetwork } from './network.js';
import {
  answered,
  containerRuntime,
  HOST,
  ifThere,
  statusOf,
  type Container,
  type Runtime,
} from './runtime.js';
import { pendingShm, replaceConfiguration, updateLimits } from './resize.js';
import { makeStandby } from './standby.js';
import { startEngine } from './start.js';
import { makeSocketDirectory, parentOf, withSocket } from './socket.js';
import { sweep } from './sweep.js';
import { fileOf } from '../../tar.js';
import { UsageMeter } from './usage.js';
import { walAfter } from './wal-tail.js';

/** A shutdown checkpoint on a slow disk. */
const STOP_BOUND_MS = 60_000;
/** Of the weight of others, which is 1024. */
const YIELDING_SHARES = 64;

export type { Owner };

export function dockerProvider(owner: OwnerWithCache): EngineProvider {
  const meter = new UsageMeter();

  const provider: EngineProvider = {
    kind: 'docker',

    async available() {
      try {
        const { docker, name } = await containerRuntime();
        // It may have ended since it was found.
        await answered(docker.ping() as Promise<unknown>);
        return { ok: true, detail: name, versions: [] };
      } catch (error) {
        const { message, details } = DbproxyError.from(error);
        return { ok: false, reason: String(details.reason ?? message) };
      }
    },

    async resolve(wanted, options = {}) {
      assertIsVersion(wanted.postgres);
      const image = await ensureImage(await containerRuntime(), owner, imageName(wanted), options);
      assertVersion(image, wanted.postgres);
      return { postgres: image.postgres, image: image.name };
    },

    async create(options) {
      const runtime = await containerRuntime();
      const image = await imageFor(runtime, owner, options);
      const socket = await socketFor(runtime, image, options.socketDirectory);
      const draft = { ...draftRecord(options, 'primary', image), socket };
      await makeDirectory(options.directory);
      try {
        options.onProgress?.({ step: 'initdb' });
        const { id, size } = options;
        const text = configuration(id, size, { machine: runtime.machine });
        const plan = { id, size, image, ...newCluster(options.superuserPassword, image, text) };
        return await withSocket(
          socket,
          (way) => startEngine(runtime, owner, draft, { ...plan, socket: way }, options),
          () => removeVolume(runtime, owner, draft),
        );
      } catch (error) {
        await discard(runtime, owner, draft).catch(() => undefined);
        throw error;
      }
    },

    async createStandby(primary, options) {
      const runtime = await containerRuntime();
      const { container } = primary;
      // The same name is the same image for all engines of a cluster, until another version is asked for.
      const same = container?.image === options.image && primary.postgres === options.postgres;
      const image = await imageFor(runtime, owner, options, same ? container?.imageId : undefined);
      assertMajor(image, primary.postgres);
      const socket = await socketFor(runtime, image, options.socketDirectory);
      const draft = { ...draftRecord(options, 'standby', image), socket };
      await makeDirectory(options.directory);
      try {
        return await withSocket(
          socket,
          (way) => makeStandby({ runtime, owner, primary, draft, image, options, socket: way }),
          () => removeVolume(runtime, owner, draft),
        );
      } catch (error) {
        await discard(runtime, owner, draft).catch(() => undefined);
        throw error;
      }
    },

    async prepare(engine, options = {}) {
      await imageOf(await containerRuntime(), owner, engine, options);
    },

    async start(engine, options = {}) {
      const runtime = await containerRuntime();
      const found = await look(runtime, owner, engine);
      if (found?.facts.State.Running === true) {
        const running = withPort(engine, found.facts);
        return { ...running, ...(await askFacts(running)) };
      }
      const image = await imageOf(runtime, owner, engine, options);
      assertMajor(image, engine.postgres);
      await assertVolume(runtime, owner, engine);
      if (found) await clear(found.container, engine);
      options.onProgress?.({ step: 'start' });
      const { id, size, access } = engine;
      const port = access.kind === 'tcp' && access.port > 0 ? access.port : undefined;
      return withSocket(
        engine.socket && (await socketFor(runtime, image, parentOf(engine.socket))),
        (socket) =>
          startEngine(
            runtime,
            owner,
            engine,
            { id, size, image, port, socket },
            {
              ...options,
              beforeStart: ({ container }) => rewriteConfiguration(container, engine, runtime),
            },
          ),
      );
    },

    async inspect(engine) {
      const runtime = await containerRuntime();
      const found = await look(runtime, owner, engine);
      if (!found) return { state: 'stopped', reason: 'its container is gone' };
      if (!found.facts.State.Running) return { state: 'stopped', reason: howItEnded(found.facts) };
      try {
        return { state: 'running', process: null, ...(await askRecovery(withPort(engine, found.facts))) };
      } catch (error) {
        return afterNoAnswer(await look(runtime, owner, engine), (error as Error).message);
      }
    },

    async isRunning(engine) {
      try {
        const found = await look(await containerRuntime(), owner, engine);
        return found?.facts.State.Running === true;
      } catch {
        return false;
      }
    },

    async stop(engine, mode) {
      const runtime = await containerRuntime();
      const found = await look(runtime, owner, engine);
      if (found) {
        await end(found.container, mode);
        await clear(found.container, engine);
      }
      await removeNetwork(runtime, owner);
    },

    async remove(engine) {
      await discard(await containerRuntime(), owner, engine);
    },

    async sweep(keep, what) {
      return sweep(await containerRuntime(), owner, keep, what);
    },

    async afterPromotion(engine) {
      const runtime = await containerRuntime();
      try {
        await replaceConfiguration(runtime, owner, engine, { standby: null });
      } catch (error) {
        // It has died since: whoever starts it again writes the configuration of a primary.
        const found = await look(runtime, owner, engine);
        if (found?.facts.State.Running === true) throw error;
      }
    },

    async resize(engine, size) {
      const runtime = await containerRuntime();
      await updateLimits(runtime, owner, engine, size);
      await replaceConfiguration(runtime, owner, { ...engine, size });
      await reloadConfiguration(engine);
    },

    async pendingRestart(engine) {
      const shm = await pendingShm(await containerRuntime(), owner, engine);
      return [...shm, ...(await pendingSettings(engine))];
    },

    async commitWith(engine, standby) {
      await replaceConfiguration(await containerRuntime(), owner, engine, { standby });
      await reloadConfiguration(engine);
    },

    async walAfter(engine, position) {
      const runtime = await containerRuntime();
      return walAfter(runtime, owner, engine, position).catch(() => null);
    },

    yieldProcessor(engine) {
      containerRuntime()
        .then(({ docker }) =>
          docker.getContainer(containerName(owner, engine.id)).update({ CpuShares: YIELDING_SHARES }),
        )
        .catch(() => undefined);
    },

    async usage(engine) {
      const { docker } = await containerRuntime();
      return meter.usage(docker.getContainer(containerName(owner, engine.id)));
    },
  };
  return provider;
}

interface Found {
  readonly container: Container;
  readonly facts: ContainerFacts;
}

/** By its name: a record may be older than its container. */
async function look(
  { docker }: Runtime,
  owner: Owner,
  { id }: Pick<EngineRecord, 'id'>,
): Promise<Found | null> {
  const container = docker.getContainer(containerName(owner, id));
  const facts = await ifThere(container.inspect());
  return facts === undefined ? null : { container, facts };
}

function afterNoAnswer(found: Found | null, reason: string): EngineHealth {
  if (found?.facts.State.Running === true) return { state: 'unresponsive', process: null, reason };
  return { state: 'stopped', reason: found ? howItEnded(found.facts) : 'its container is gone' };
}

/** Where it is published now. */
function withPort(engine: EngineRecord, { NetworkSettings }: ContainerFacts): EngineRecord {
  const [binding] = Object.values(NetworkSettings.Ports).flatMap((bindings) => bindings ?? []);
  return binding
    ? { ...engine, access: { kind: 'tcp', host: HOST, port: Number(binding.HostPort) } }
    : engine;
}

async function end(container: Container, mode: 'fast' | 'immediate'): Promise<void> {
  try {
    // SIGQUIT: PostgreSQL ends at once, without a checkpoint.
    if (mode === 'fast') await answered(container.stop(), STOP_BOUND_MS);
    else await answered(container.kill());
  } catch (error) {
    // It has ended by itself, or is gone.
    if (![304, 404, 409].includes(statusOf(error) ?? 0)) throw error;
  }
}

async function clear(container: Container, engine: EngineRecord): Promise<void> {
  await keepLog(container, engine);
  await removeContainer(container);
}

async function discard(runtime: Runtime, owner: Owner, engine: EngineRecord): Promise<void> {
  const found = await look(runtime, owner, engine);
  if (found) await removeContainer(found.container);
  await removeVolume(runtime, owner, engine);
  await removeNetwork(runtime, owner);
  await rm(engine.directory, { recursive: true, force: true });
  if (engine.socket) await rm(parentOf(engine.socket), { recursive: true, force: true });
}

const removeVolume = async ({ docker }: Runtime, owner: Owner, { id }: EngineRecord): Promise<void> =>
  void (await ifThere(docker.getVolume(volumeName(owner, id)).remove()));

/** Where an image does not say where its server makes sockets by itself, that stays its own business. */
const socketFor = async (
  runtime: Runtime,
  { socketDirectories }: Image,
  parent: string,
): Promise<SocketAccess | undefined> =>
  socketDirectories === '' ? undefined : makeSocketDirectory(runtime, parent);

async function imageFor(
  runtime: Runtime,
  owner: OwnerWithCache,
  options: ProvisionOptions,
  id?: string,
): Promise<Image> {
  const image =
    (await sameVersion(runtime, owner, options)) ??
    (await ensureImage(runtime, owner, imageName(options), { ...options, id }));
  assertVersion(image, options.postgres);
  return image;
}

/** `postgres:17` is here, `postgres:17.10` is not, and they hold the same: then nothing need be pulled. */
async function sameVersion(
  runtime: Runtime,
  owner: OwnerWithCache,
  { image, postgres }: ProvisionOptions,
): Promise<Image | null> {
  const [exact, short] = [imageName({ image, postgres }), imageName({ image, postgres: majorOf(postgres) })];
  if (exact === short || (await hasImage(runtime, exact)) || !(await hasImage(runtime, short))) return null;
  const found = await ensureImage(runtime, owner, short);
  return found.postgres === postgres ? found : null;
}

const imageOf = (
  runtime: Runtime,
  owner: OwnerWithCache,
  { container, postgres }: Pick<EngineRecord, 'container' | 'postgres'>,
  options: Pick<ProvisionOptions, 'signal' | 'onProgress'>,
): Promise<Image> =>
  ensureImage(runtime, owner, container?.image ?? imageName({ postgres }), {
    ...options,
    id: container?.imageId,
  });

/** A volume that is missing would be made by the start, empty: a new cluster in place of the user's data. */
async function assertVolume({ docker }: Runtime, owner: Owner, { id }: EngineRecord): Promise<void> {
  const volume = volumeName(owner, id);
  if ((await ifThere(docker.getVolume(volume).inspect())) !== undefined) return;
  throw new DbproxyError('DBP_ENGINE_LOST', {
    engine: id,
    reason: `its volume ${volume} is gone, and its data with it`,
  });
}

/** Of its size, which may be another one than when it last ran. A standby keeps the one it was made with: it says where its primary is. */
async function rewriteConfiguration(
  container: Container,
  engine: EngineRecord,
  runtime: Runtime,
): Promise<void> {
  const isStandby = (await ifThere(container.infoArchive({ path: `${DATA}/standby.signal` }))) !== undefined;
  if (!isStandby) await writeConfiguration(container, engine, runtime);
}

async function writeConfiguration(
  container: Container,
  { id, size }: EngineRecord,
  { machine }: Runtime,
): Promise<void> {
  const before = await ifThere(container.getArchive({ path: `${DATA}/${CONFIGURATION_FILE}` }));
  // Lost data is for the start to tell.
  if (before === undefined) return;
  const preload = preloadOf(fileOf(await contentOf(before)));
  const content = configuration(id, size, { machine, preload });
  await putFiles(container, [{ path: file(DATA, CONFIGURATION_FILE), mode: 0o644, content }]);
}

async function contentOf(stream: NodeJS.ReadableStream): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as unknown as Buffer);
  return Buffer.concat(chunks);
}

async function makeDirectory(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 }).catch((cause: Error) => {
    throw new DbproxyError('DBP_ENV_DIRECTORY', { directory, reason: cause.message }, { cause });
  });
}

/** The record as it will be, but for what only the running container can tell. */
function draftRecord(options: ProvisionOptions, role: 'primary' | 'standby', image: Image): EngineRecord {
  return {
    id: options.id,
    provider: 'docker',
    role,
    size: options.size,
    postgres: image.postgres,
    access: { kind: 'tcp', host: HOST, port: 0 },
    superuser: SUPERUSER,
    superuserPasswordFile: options.superuserPasswordFile,
    directory: options.directory,
    logFile: join(options.directory, 'engine.log'),
    systemIdentifier: '',
    process: null,
  };
}
