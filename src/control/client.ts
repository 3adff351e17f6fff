/**
 * The way in to an instance for the command line, the scenarios and the tests: start it, stop it, ask its supervisor.
 *
 * Crash-only: a supervisor that died is started again by whoever asks next, and repairs what it finds before it answers.
 */
import type { EngineRecord, ProcessIdentity, ProviderKind, SizeName } from '../engine/types.js';
import { RpcClient, type CallOptions } from '../rpc/index.js';
import { DbproxyError } from '../errors/index.js';
import type {
  DownResult,
  InstanceSpec,
  InstanceState,
  LogEvent,
  StandbyMode,
  SupervisorApi,
  UpResult,
} from './api.js';
import { InstanceDirectory, listInstanceNames } from './instance-directory.js';
import { isAlive, waitForExit } from './processes.js';
import { bringDown } from './bring-down.js';
import { bringUp } from './bring-up.js';
import { eventsIn } from './event-log.js';
import { launchSupervisor } from './launch.js';
import { withInstanceLock } from './lock.js';
import { MAX_WRITERS, parseWriterName } from './multiwriter/names.js';
import type { WritersRequest } from './multiwriter/settings.js';
import { StoreDirectory } from './multiwriter/store-directory.js';
import type { TlsRequest } from './tls/index.js';

/** What `up` asks for. What is left out is taken from the stopped instance, else from the defaults. */
export interface UpRequest extends TlsRequest, WritersRequest {
  readonly name: string;
  readonly provider?: 'auto' | ProviderKind | undefined;
  readonly postgres?: string | undefined;
  /** Of containers. */
  readonly image?: string | undefined;
  readonly size?: SizeName | undefined;
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  readonly maxSessions?: number | undefined;
  readonly proxies?: number | undefined;
  /** 0: none. */
  readonly metricsPort?: number | undefined;
  /** For a stopped instance, too. */
  readonly standby?: 'off' | StandbyMode | undefined;
  /** Makes an instance that goes with this process. One of that name must not exist yet. */
  readonly owner?: ProcessIdentity | undefined;
  /** From here on whoever asks for the instance starts it. */
  readonly onWanted?: () => void;
  /** Of a further writer, which the supervisor of the first one asks for. */
  readonly writerOf?: InstanceSpec['writerOf'];
}

export const UP_DEFAULTS = {
  postgres: '17',
  size: 'small',
  host: '127.0.0.1',
  port: 6432,
  maxSessions: 1_000,
} as const;

export interface StepProgress {
  readonly step: string;
  readonly detail: string;
  /** 0…1, where it can be known. */
  readonly fraction?: number;
}

type ProgressOf<Method> = Method extends { progress: infer P } ? P : never;

/** What is asked of a supervisor. */
export type SupervisorCall<M extends keyof SupervisorApi> = [
  method: M,
  params: SupervisorApi[M]['params'],
  options?: CallOptions<ProgressOf<SupervisorApi[M]>>,
];

/** A connection to a supervisor. Close it, or the process does not end. */
export interface Supervisor {
  readonly instance: string;
  /** Throws what the supervisor threw; DBP_SUPERVISOR_GONE when it went away before it answered. */
  call<M extends keyof SupervisorApi>(...call: SupervisorCall<M>): Promise<SupervisorApi[M]['result']>;
  readonly closed: Promise<void>;
  close(): void;
}

/**
 * Connects to the supervisor of a running instance. If the instance should run but its supervisor is dead, a new one is
 * started (unless `startIfMissing` is false) and has repaired the instance when this resolves.
 * Throws DBP_INSTANCE_NOT_RUNNING.
 */
export async function connectSupervisor(
  name: string,
  { startIfMissing = true }: { startIfMissing?: boolean } = {},
): Promise<Supervisor> {
  const directory = InstanceDirectory.of(name);
  const connected = await tryConnect(directory);
  if (connected) return connected;
  const record = await directory.readInstance();
  if (!record) await assertWriterExists(name);
  if (record?.wanted !== 'running' || !startIfMissing) {
    throw await notRunning(name);
  }
  const isOurs = await withInstanceLock(directory.paths, async () => {
    if (isAlive((await directory.readSupervisor())?.process)) return false;
    await launchSupervisor(directory);
    return true;
  });
  const supervisor = await tryConnect(directory);
  if (!supervisor) throw new DbproxyError('DBP_INSTANCE_NOT_RUNNING', { name });
  // Whoever started it waits for that; it may be in the middle of an operation by now, which is no reason to wait for its end.
  if (isOurs) await supervisor.call('ready', {});
  return supervisor;
}

/**
 * The supervisor ends, and one of this build takes its place: whoever else asks meanwhile, with an older one maybe, waits for it. Returns
 * the pid of the one that has ended. Throws what `connectSupervisor` does, and DBP_INSTANCE_BUSY.
 */
export async function replaceSupervisor(name: string, boundMs: number): Promise<number> {
  const directory = InstanceDirectory.of(name);
  const supervisor = await connectSupervisor(name);
  try {
    return await withInstanceLock(directory.paths, async () => {
      const { process } = (await directory.readSupervisor()) ?? {};
      const { pid } = await supervisor.call('retire', {});
      if (process) await waitForExit(process, boundMs);
      if (!isAlive(process)) await launchSupervisor(directory);
      return pid;
    });
  } finally {
    supervisor.close();
  }
}

/** DBP_INSTANCE_NOT_RUNNING, with the names of those that run. */
async function notRunning(name: string): Promise<DbproxyError> {
  const all = await listInstances().catch(() => []);
  const running = all.filter(({ state, writerOf }) => state === 'running' && writerOf === null);
  const others = running.map((each) => each.name).filter((each) => each !== name);
  return new DbproxyError('DBP_INSTANCE_NOT_RUNNING', {
    name,
    ...(others.length > 0 && { others: others.join(', '), see: 'dbproxy status --all' }),
  });
}

/** `shop.w3` where shop has two writers, or one: said as what it is. Throws DBP_WRITERS_UNKNOWN. */
export async function assertWriterExists(name: string): Promise<void> {
  const asked = parseWriterName(name);
  const parent = asked && (await InstanceDirectory.of(asked.instance).readInstance());
  if (!asked || !parent) return;
  const writers = parent.spec.multiwriter?.writers ?? 1;
  if (asked.writer <= writers) return;
  const more = asked.writer > MAX_WRITERS ? undefined : asked.writer;
  throw new DbproxyError('DBP_WRITERS_UNKNOWN', {
    ...{ name: asked.instance, writer: asked.writer, writers, more },
  });
}

/** What can be asked once more: of a supervisor that made way before it answered the next one says the same. */
const QUESTIONS: ReadonlySet<keyof SupervisorApi> = new Set<keyof SupervisorApi>([
  'status',
  'sessions',
  'session',
  'check',
  'autoscale',
  // One that runs an operation does not make way.
  'cancel',
]);

/** One call to the supervisor of a running instance, whichever it is now. Throws what `connectSupervisor` and the call throw. */
export async function askSupervisor<M extends keyof SupervisorApi>(
  name: string,
  ...call: SupervisorCall<M>
): Promise<SupervisorApi[M]['result']> {
  return askOnce(name, ...call).catch((error: unknown) => {
    const isGone = error instanceof DbproxyError && error.code === 'DBP_SUPERVISOR_GONE';
    if (isGone && QUESTIONS.has(call[0])) return askOnce(name, ...call);
    throw error;
  });
}

async function askOnce<M extends keyof SupervisorApi>(
  name: string,
  ...call: SupervisorCall<M>
): Promise<SupervisorApi[M]['result']> {
  const supervisor = await connectSupervisor(name);
  try {
    return await supervisor.call(...call);
  } finally {
    supervisor.close();
  }
}

/**
 * `up`: starts the instance, or finds that it runs already. Ready means: a query through the proxy was answered.
 * Throws DBP_INSTANCE_SETTINGS_DIFFER when it runs with other settings than asked for, DBP_ENV_PORT_TAKEN, and what
 * stopped the start.
 */
export async function startInstance(
  request: UpRequest,
  onProgress?: (progress: StepProgress) => void,
): Promise<UpResult> {
  return bringUp(request, onProgress ?? (() => undefined), tryConnect);
}

/** `down`: stops everything that belongs to the instance, whoever of them still lives. Idempotent. */
export async function stopInstance(
  name: string,
  { purge = false }: { purge?: boolean } = {},
  onProgress?: (progress: StepProgress) => void,
): Promise<DownResult> {
  return bringDown(InstanceDirectory.of(name), purge, onProgress ?? (() => undefined), tryConnect);
}

export interface InstanceListing {
  readonly name: string;
  readonly directory: string;
  /**
   * Whether it should run, and whether its supervisor does; `abandoned`: neither its owner nor its supervisor lives;
   * `damaged`: its files cannot be read.
   */
  readonly state: Extract<InstanceState, 'running' | 'stopped'> | 'supervisor-dead' | 'abandoned' | 'damaged';
  readonly port: number | null;
  /** Of a further writer: the instance it belongs to. */
  readonly writerOf: string | null;
  readonly engines: readonly EngineRecord[];
}

/** All instances on this machine (of this DBPROXY_HOME). Starts nothing. */
export async function listInstances(): Promise<InstanceListing[]> {
  return Promise.all((await listInstanceNames()).map(describeInstance));
}

/** Removes what processes that have gone left behind, where no supervisor lived to do it. */
export async function removeAbandoned(): Promise<void> {
  const abandoned = (await listInstances()).filter(({ state }) => state === 'abandoned');
  for (const { name } of abandoned) await stopInstance(name, { purge: true });
}

async function describeInstance(name: string): Promise<InstanceListing> {
  const directory = InstanceDirectory.of(name);
  const writerOf = parseWriterName(name)?.instance ?? null;
  const base = { name, directory: directory.paths.directory, writerOf };
  try {
    const record = await directory.readInstance();
    const alive = isAlive((await directory.readSupervisor())?.process);
    const { port = null, owner } = record?.spec ?? {};
    const abandoned = owner && !alive && !isAlive(owner);
    const wanted = record?.wanted === 'running' ? (alive ? 'running' : 'supervisor-dead') : 'stopped';
    return { ...base, state: abandoned ? 'abandoned' : wanted, port, engines: record?.engines ?? [] };
  } catch {
    return { ...base, state: 'damaged', port: null, engines: [] };
  }
}

/** The events of an instance after `after`; of one that is down those of its file. Throws DBP_INSTANCE_NOT_RUNNING: there is none. */
export async function instanceEvents(name: string, after: number): Promise<LogEvent[]> {
  try {
    return await askSupervisor(name, 'events', { after, follow: false });
  } catch (error) {
    if (!(error instanceof DbproxyError) || error.code !== 'DBP_INSTANCE_NOT_RUNNING') throw error;
    const directory = InstanceDirectory.of(name);
    if (!(await directory.readInstance())) throw error;
    return eventsIn(directory.paths.eventsFile, after);
  }
}

export interface InstanceLog {
  /** `supervisor`, `proxy`, an engine's id, or a storage node's. */
  readonly name: string;
  readonly role: string;
  /** Of a container that runs, what its runtime has not got any more: the log of its predecessors. */
  readonly file: string;
  readonly container: string | null;
}

/** The logs of an instance. Works while it is down. */
export async function instanceLogs(name: string): Promise<InstanceLog[]> {
  const directory = InstanceDirectory.of(name);
  const record = await directory.readInstance();
  if (!record) throw await notRunning(name);
  const store = new StoreDirectory(directory.paths);
  const nodes = await store.traces();
  return [
    { name: 'supervisor', file: directory.paths.supervisorLog, role: 'supervisor', container: null },
    { name: 'proxy', file: directory.paths.proxyLog, role: 'proxy', container: null },
    ...record.engines.map(({ id, logFile, role, container }) => ({
      ...{ name: id, file: logFile, role },
      container: record.wanted === 'running' ? (container?.name ?? null) : null,
    })),
    ...nodes.map(({ node }) => ({ name: node, file: store.logOf(node), role: 'storage', container: null })),
  ];
}

async function tryConnect(directory: InstanceDirectory): Promise<Supervisor | null> {
  try {
    const rpc = await RpcClient.connect<SupervisorApi>(directory.paths.supervisorSocket);
    return wrap(directory.paths.name, directory.paths.supervisorSocket, rpc);
  } catch (error) {
    if (error instanceof DbproxyError && error.code === 'DBP_RPC_UNREACHABLE') return null;
    throw error;
  }
}

/** For a supervisor that does not answer at all. Operations have bounds of their own, `events` follows for as long as asked. */
const BOUNDS_MS: Partial<Record<keyof SupervisorApi, number>> = {
  ready: 180_000,
  status: 60_000,
  sessions: 60_000,
  down: 120_000,
};

function boundOf(method: keyof SupervisorApi): { timeoutMs?: number } {
  const timeoutMs = BOUNDS_MS[method];
  return timeoutMs === undefined ? {} : { timeoutMs };
}

function wrap(instance: string, socket: string, rpc: RpcClient<SupervisorApi>): Supervisor {
  return {
    instance,
    closed: rpc.closed,
    close: () => rpc.close(),
    call: async (method, params, options) => {
      try {
        return await rpc.call(method, params, { ...boundOf(method), ...options });
      } catch (error) {
        // Not the supervisor's own trouble with reaching the proxy, which it tells us of in the same words.
        if (error instanceof DbproxyError && error.details['socket'] === socket) {
          const reason = String(error.details.reason ?? error.message);
          throw new DbproxyError('DBP_SUPERVISOR_GONE', { reason }, { cause: error });
        }
        throw error;
      }
    },
  };
}
