/**
 * `up`, as the command line does it: settle what is wanted, under the instance's lock; have a supervisor; wait until it
 * says ready. Two at once: the second one finds what the first one started and waits for the same readiness.
 */
import { readdir } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import type { EngineProgress, ProcessIdentity } from '../engine/types.js';
import { DbproxyError } from '../errors/index.js';
import { faultPoint } from '../fault-point.js';
import type { InstanceSpec, UpResult } from './api.js';
import { UP_DEFAULTS, type StepProgress, type Supervisor, type UpRequest } from './client.js';
import { InstanceDirectory, newInstanceRecord } from './instance-directory.js';
import { launchSupervisor } from './launch.js';
import { withInstanceLock } from './lock.js';
import { MAX_WRITERS, parseWriterName } from './multiwriter/names.js';
import { multiwriterOf, parseStorageNodes, quorumsText } from './multiwriter/settings.js';
import { StoreDirectory } from './multiwriter/store-directory.js';
import { withoutEtcdPassword } from '../multiwriter/etcd/index.js';
import { isAlive, waitForExit } from './processes.js';
import type { InstancePaths } from './paths.js';
import { assertNoImage, createOperations, pickProvider } from './provider.js';
import { recordedProxies } from './proxy-process.js';
import type { InstanceRecord } from './records.js';
import { settingsDiffer } from './settings-differ.js';
import { assertSameTls, settleTls } from './tls/index.js';
import { connectHost } from './verify.js';

type Connect = (directory: InstanceDirectory) => Promise<Supervisor | null>;

/** How long a supervisor that failed or died may take to be gone. */
const EXIT_BOUND_MS = 10_000;

export async function bringUp(
  request: UpRequest,
  onProgress: (progress: StepProgress) => void,
  connect: Connect,
): Promise<UpResult> {
  const startedAt = performance.now();
  const directory = InstanceDirectory.of(request.name);
  await assertMayBe(request, directory);
  const attempt = async (): Promise<UpResult> => {
    const origin = await fetchEngine(request, directory, onProgress);
    const found = await findOrStart(request, origin, directory, onProgress, connect);
    const result = await awaitReady(found, onProgress);
    return { ...result, alreadyRunning: !found.started, readyMs: Math.round(performance.now() - startedAt) };
  };
  try {
    return await attempt();
  } catch (error) {
    // It died just when we asked: whoever asks next repairs, and that is us.
    if (error instanceof DbproxyError && error.code === 'DBP_SUPERVISOR_GONE') return attempt();
    throw error;
  }
}

/** What is wrong with the request is said before anything is fetched or made. Throws DBP_USAGE, DBP_STORE_QUORUMS. */
async function assertMayBe(request: UpRequest, directory: InstanceDirectory): Promise<void> {
  const stored = await directory.readInstance();
  const asked = parseWriterName(request.name);
  if (asked && !stored && !request.writerOf) {
    const reason =
      asked.writer > MAX_WRITERS
        ? `${request.name} would be a writer of ${asked.instance}, of which there are ${MAX_WRITERS} at most`
        : `${request.name} is a writer of ${asked.instance}, and made with it: dbproxy up --name ${asked.instance} --writers ${asked.writer}`;
    throw new DbproxyError('DBP_USAGE', { reason });
  }
  if (asked && (request.writers ?? 1) > 1) {
    throw new DbproxyError('DBP_USAGE', { reason: `${request.name} is one of several writers itself` });
  }
  assertMayStandBy(request, stored);
  assertMayShare(request, stored);
  assertPortsDiffer(request, stored?.spec);
  if (!asked) multiwriterOf(request, stored?.spec.multiwriter);
}

/** The holder that is found later would be this instance itself. Throws DBP_USAGE. */
function assertPortsDiffer(request: UpRequest, before: InstanceSpec | undefined): void {
  const port = request.port ?? before?.port ?? UP_DEFAULTS.port;
  if ((request.metricsPort ?? before?.metricsPort) !== port) return;
  throw new DbproxyError('DBP_USAGE', { reason: `--metrics-port ${port} is the port where clients connect` });
}

/** Several proxy processes have not learned what only one of them knows. Throws DBP_USAGE. */
function assertMayShare(request: UpRequest, stored: InstanceRecord | null): void {
  if (proxiesFor(request, stored?.spec) === undefined) return;
  const refuse = (what: string, how: string): never => {
    const reason = `several proxy processes serve one engine, ${what}: leave out ${how}, or say --proxies 1`;
    throw new DbproxyError('DBP_USAGE', { reason });
  };
  if ((request.writers ?? stored?.spec.multiwriter?.writers ?? 1) > 1 || request.writerOf)
    refuse('and several writers have a proxy each', '--writers');
  if (standbyOf(request, stored?.spec) !== undefined)
    refuse('and sessions that outlive it are held by one', '--standby (or say --no-standby)');
}

/** Throws DBP_USAGE. */
function assertMayStandBy(request: UpRequest, stored: InstanceRecord | null): void {
  if (standbyOf(request, stored?.spec) === undefined) return;
  const { writers = stored?.spec.multiwriter?.writers ?? 1, writerOf = stored?.spec.writerOf } = request;
  if (writers > 1 || writerOf !== undefined)
    throw new DbproxyError('DBP_USAGE', {
      reason: 'with several writers there is no standby: each of them can be built again from the log',
    });
}

/** What a new instance's engines come from. */
type Origin = Pick<InstanceSpec, 'provider' | 'providerReason' | 'image'>;

/**
 * The binaries or the image of a new instance, or of one that is down, fetched before anybody waits for the instance's lock or
 * for its supervisor. Where data is there already, another minor may serve it: whether one does is for the start to say.
 * Null: the instance has its provider.
 */
async function fetchEngine(
  request: UpRequest,
  directory: InstanceDirectory,
  onProgress: (progress: StepProgress) => void,
): Promise<Origin | null> {
  const stored = await directory.readInstance();
  const tell = tellEngine(onProgress);
  if (stored === null) {
    return originOf(request, directory.paths, tell);
  }
  const engine = stored.engines.find(({ id }) => id === stored.primary);
  if (engine && stored.wanted === 'stopped') {
    const operations = createOperations(engine.provider, directory.paths);
    // A runtime or an image that is missing is for the start to say, which may find a running container.
    await operations.prepare(engine, { onProgress: tell }).catch(() => undefined);
  }
  return null;
}

const tellEngine =
  (onProgress: (progress: StepProgress) => void) =>
  ({ detail = '', ...rest }: EngineProgress): void =>
    onProgress({ ...rest, detail });

const PROVIDERS = ['auto', 'embedded', 'docker'] as const;

/** What was asked for, else what the environment says. Throws DBP_USAGE, and what `pickProvider` throws. */
async function originOf(
  request: UpRequest,
  paths: InstancePaths,
  onProgress: (progress: EngineProgress) => void,
): Promise<Origin> {
  const { DBPROXY_PROVIDER: usual = 'auto', DBPROXY_IMAGE: usualImage } = process.env;
  const wanted = request.provider ?? PROVIDERS.find((name) => name === usual);
  if (wanted === undefined) {
    throw new DbproxyError('DBP_USAGE', {
      reason: `DBPROXY_PROVIDER is ${usual}, not one of ${PROVIDERS.join(', ')}`,
    });
  }
  const { postgres = UP_DEFAULTS.postgres } = request;
  const image = request.image ?? (usualImage || undefined);
  const needsImage = request.image !== undefined;
  if (wanted === 'embedded') assertNoImage(request.image);
  const wish = { provider: wanted, postgres, image, needsImage, onProgress };
  const { provider, reason } = await pickProvider(wish, paths);
  const origin = { provider: provider.kind, providerReason: reason };
  if (provider.kind === 'docker') return { ...origin, image };
  assertNoImage(request.image);
  return origin;
}

interface Found {
  readonly connection: Supervisor;
  readonly started: boolean;
  readonly process: ProcessIdentity | undefined;
}

async function findOrStart(
  request: UpRequest,
  origin: Origin | null,
  directory: InstanceDirectory,
  onProgress: (progress: StepProgress) => void,
  connect: Connect,
): Promise<Found> {
  const process = async (): Promise<ProcessIdentity | undefined> =>
    (await directory.readSupervisor())?.process;
  return withInstanceLock(directory.paths, async () => {
    await assertOurs(request, directory);
    const find = async (): Promise<Found | null> => {
      const running = await connectToRunning(request, directory, connect);
      return running && { connection: running, started: false, process: await process() };
    };
    const found = await find();
    if (found) return found;
    // One that goes down still, or that has given up: what it leaves is what we begin with.
    const ending = await process();
    if (ending && !(await waitForExit(ending, EXIT_BOUND_MS))) {
      const late = await find();
      if (late) return late;
    }
    await settle(request, origin, directory, tellEngine(onProgress));
    await launchSupervisor(directory, {
      onSpawned: () => onProgress({ step: 'supervisor', detail: 'starting the supervisor' }),
    });
    const connection = await connect(directory);
    if (!connection) throw startFailed(request.name, 'the supervisor ended');
    return { connection, started: true, process: await process() };
  });
}

async function awaitReady(
  { connection, process, started }: Found,
  onProgress: (progress: StepProgress) => void,
): Promise<UpResult> {
  try {
    return await connection.call('ready', { all: true }, { onProgress });
  } catch (error) {
    connection.close();
    // After a start that failed nothing runs, not even the one that failed.
    const gone = error instanceof DbproxyError && error.code === 'DBP_SUPERVISOR_GONE';
    if (process && (started || gone)) await waitForExit(process, EXIT_BOUND_MS);
    throw error;
  } finally {
    connection.close();
  }
}

/**
 * Who asks for an instance that goes with its process is not given one that others keep, or that it has already. What this
 * process began and could not bring up (its port was taken) may be tried again.
 */
async function assertOurs({ name, owner }: UpRequest, directory: InstanceDirectory): Promise<void> {
  const stored = owner ? await directory.readInstance() : null;
  if (!stored) return;
  const runs = stored.wanted === 'running' && isAlive((await directory.readSupervisor())?.process);
  if (!runs && isDeepStrictEqual(stored.spec.owner, owner)) return;
  throw new DbproxyError('DBP_INSTANCE_EXISTS', { name });
}

/** A supervisor that is wanted and answers. One that is dead, or that is going down, does not count. */
async function connectToRunning(
  request: UpRequest,
  directory: InstanceDirectory,
  connect: Connect,
): Promise<Supervisor | null> {
  const record = await directory.readInstance();
  if (record?.wanted !== 'running') return null;
  if (!isAlive((await directory.readSupervisor())?.process)) return null;
  assertSameSettings(request, record);
  return connect(directory);
}

/** Writes what is wanted: a new instance, or the stopped one with the settings that were asked for. */
async function settle(
  request: UpRequest,
  origin: Origin | null,
  directory: InstanceDirectory,
  onProgress: (progress: EngineProgress) => void,
): Promise<void> {
  const stored = await directory.readInstance();
  if (stored) assertSameData(request, stored);
  else await assertNoData(directory);
  // Their supervisor has died; they have not.
  if (stored && (await recordedProxies(directory)).length > 0) assertSameProxies(request, stored);
  const spec = await specOf(request, stored, origin, directory, onProgress);
  await directory.create();
  await directory.password();
  if (request.store !== undefined) await new StoreDirectory(directory.paths).writeEtcdUrl(request.store);
  request.onWanted?.();
  await directory.writeInstance(stored ? { ...stored, spec, wanted: 'running' } : newInstanceRecord(spec));
  await faultPoint('up.wanted');
}

/** Data whose record is lost is not built over. */
async function assertNoData({ paths }: InstanceDirectory): Promise<void> {
  const found = await readdir(paths.enginesDirectory).catch(() => []);
  if (found.length === 0) return;
  const reason = `it is missing, but there are engines: ${found.join(', ')}`;
  throw new DbproxyError('DBP_INSTANCE_DAMAGED', { file: paths.instanceFile, reason });
}

async function specOf(
  request: UpRequest,
  stored: InstanceRecord | null,
  origin: Origin | null,
  { paths }: InstanceDirectory,
  onProgress: (progress: EngineProgress) => void,
): Promise<InstanceSpec> {
  const before = stored?.spec;
  const postgres = before?.postgres ?? request.postgres ?? UP_DEFAULTS.postgres;
  const host = request.host ?? before?.host ?? UP_DEFAULTS.host;
  return {
    name: request.name,
    // Without an origin somebody has purged it since we looked.
    ...(before ?? origin ?? (await originOf(request, paths, onProgress))),
    postgres,
    size: request.size ?? before?.size ?? UP_DEFAULTS.size,
    host,
    port: request.port ?? before?.port ?? UP_DEFAULTS.port,
    maxSessions: request.maxSessions ?? before?.maxSessions ?? UP_DEFAULTS.maxSessions,
    proxies: proxiesFor(request, before),
    tls: await settleTls(request, before?.tls, connectHost(host)),
    metricsPort: (request.metricsPort ?? before?.metricsPort) || undefined,
    standby: standbyOf(request, before),
    owner: before?.owner ?? request.owner,
    writerOf: before?.writerOf ?? request.writerOf,
    multiwriter: parseWriterName(request.name) ? undefined : multiwriterOf(request, before?.multiwriter),
  };
}

/** Undefined: one. */
function proxiesFor({ proxies }: UpRequest, before: InstanceSpec | undefined): InstanceSpec['proxies'] {
  const wanted = proxies ?? before?.proxies ?? 1;
  return wanted > 1 ? wanted : undefined;
}

function standbyOf({ standby }: UpRequest, before: InstanceSpec | undefined): InstanceSpec['standby'] {
  return standby === 'off' ? undefined : (standby ?? before?.standby);
}

type Setting = 'provider' | 'image' | 'postgres' | 'size' | 'host' | 'port' | 'maxSessions';
const SETTINGS: readonly Setting[] = ['provider', 'image', 'postgres', 'size', 'host', 'port', 'maxSessions'];

const FLAGS: Partial<Record<Setting, string>> = { maxSessions: 'max-sessions' };

function assertSameSettings(request: UpRequest, record: InstanceRecord): void {
  for (const setting of SETTINGS) assertSame(setting, request, record);
  assertSameTls(request, record.spec);
  const { name, metricsPort: running = 0 } = record.spec;
  const { metricsPort: wanted = running } = request;
  if (wanted !== running) {
    throw settingsDiffer(name, 'metrics-port', running, wanted);
  }
  assertSameProxies(request, record);
  const { standby: kept = 'off' } = record.spec;
  const { standby: asked = kept } = request;
  if (asked !== kept) throw settingsDiffer(name, 'standby', kept, asked);
  assertSameWriters(request, record);
}

/** Ids of sessions and keys of cancel requests tell of how many processes one is. */
function assertSameProxies({ name, proxies: wanted }: UpRequest, { spec }: InstanceRecord): void {
  const { proxies: running = 1 } = spec;
  if (wanted !== undefined && wanted !== running) throw settingsDiffer(name, 'proxies', running, wanted);
}

function assertSameWriters(request: UpRequest, { spec }: InstanceRecord): void {
  const { multiwriter } = spec;
  const differ = (setting: string, running: string, wanted: string): void => {
    if (running !== wanted) throw settingsDiffer(spec.name, setting, running, wanted);
  };
  const { writers, storageNodes, writerPolicy, store } = request;
  if (writers !== undefined) differ('writers', String(multiwriter?.writers ?? 1), String(writers));
  if (multiwriter && store !== undefined) {
    differ('store', multiwriter.store ?? 'storage nodes', withoutEtcdPassword(store));
  }
  if (multiwriter && storageNodes !== undefined) {
    differ('storage nodes', quorumsText(multiwriter.quorums), quorumsText(parseStorageNodes(storageNodes)));
  }
  if (multiwriter && writerPolicy !== undefined) differ('writer policy', multiwriter.policy, writerPolicy);
}

/** A stopped instance may come back with another size or port, but its data stays with its provider and version. */
function assertSameData(request: UpRequest, record: InstanceRecord): void {
  if (record.engines.length === 0) return;
  assertSame('provider', request, record);
  assertSame('image', request, record);
  assertSame('postgres', request, record);
}

function assertSame(setting: Setting, request: UpRequest, { spec, engines, primary }: InstanceRecord): void {
  const wanted = request[setting];
  if (wanted === undefined || wanted === 'auto' || wanted === spec[setting]) return;
  const served = engines.find(({ id }) => id === primary);
  // `17.10` asks for no other version than `17` when 17.10 is what runs.
  if (setting === 'postgres' && `${served?.postgres}.`.startsWith(`${wanted}.`)) return;
  const running =
    setting === 'postgres' ? (served?.postgres ?? spec.postgres) : (spec[setting] ?? 'postgres');
  throw settingsDiffer(spec.name, FLAGS[setting] ?? setting, running, wanted);
}

const startFailed = (name: string, reason: string): DbproxyError =>
  new DbproxyError('DBP_INSTANCE_START_FAILED', { name, reason });
