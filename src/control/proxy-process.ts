/**
 * The proxy: start it, find the one that runs, keep a connection to it. It outlives the supervisor. One process, or several that
 * serve one port (`up --proxies`) and are asked as one: the first binds it, and starts the others (proxies/group.ts).
 */
import { spawn } from 'node:child_process';
import { open, readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { processIdentity } from '../engine/index.js';
import type { ProcessIdentity } from '../engine/types.js';
import { DbproxyError } from '../errors/index.js';
import { spawned } from '../errors/spawned.js';
import { blamingFullDisk } from '../errors/no-room.js';
import type { WriterConfig } from '../multiwriter/writer/config.js';
import type { Program, ProxyApi, ProxyConfig, ProxyStatus } from '../proxy/control-api.js';
import { RpcClient, type Rpc } from '../rpc/index.js';
import type { InstanceSpec } from './api.js';
import { InstanceDirectory, listInstanceNames } from './instance-directory.js';
import { MAX_PROXIES, proxySocketOf, type InstancePaths } from './paths.js';
import { START_BOUND_MS } from './launch.js';
import { describePortHolder, findFreePort, portHolder } from './port-holder.js';
import { endProcess, isAlive, waitForExit } from './processes.js';
import { ProxyGroup } from './proxies/group.js';
import { proxyTls } from './tls/index.js';

export const PROXY_MAIN = fileURLToPath(new URL('../../dist/proxy/main.js', import.meta.url));
/** The proxy of the build that runs here. */
export const THIS_BUILD: Program = { node: process.execPath, main: PROXY_MAIN };
/** How the proxy says that its port is taken. */
const EXIT_PORT_TAKEN = 98;
const STATUS_BOUND_MS = 3_000;
const STOP_BOUND_MS = 3_000;
/** For what sessions were told at their end to pass the tunnels, ms. */
const TUNNEL_END_MS = 500;
const POLL_MS = 10;
const LOG_TAIL_LINES = 15;

/** A proxy process that runs, and our connection to it. */
export interface ProxyProcess {
  /** Of several, from 1. */
  readonly number: number;
  readonly process: ProcessIdentity;
  readonly rpc: RpcClient<ProxyApi>;
}

/** What serves the clients of an instance. */
export interface Proxy {
  /** The first one of those that run. */
  readonly process: ProcessIdentity;
  /** All that run, as one. */
  readonly rpc: Rpc<ProxyApi>;
  readonly members: readonly ProxyProcess[];
  /** How many of them there are to be. */
  readonly wanted: number;
}

export const proxiesOf = ({ proxies = 1 }: Pick<InstanceSpec, 'proxies'>): number => proxies;

export const proxyStatus = ({ rpc }: Pick<Proxy, 'rpc'>): Promise<ProxyStatus> =>
  rpc.call('status', {}, { timeoutMs: STATUS_BOUND_MS });

/** The proxy of this instance, if one runs and answers; of several those that do. */
export async function findProxy(directory: InstanceDirectory): Promise<Proxy | null> {
  const wanted = proxiesOf(await specOf(directory));
  const found = await Promise.all(numbers(wanted).map((number) => findProcess(directory.paths, number)));
  return proxyOf(
    directory.paths,
    found.filter((member) => member !== null),
    wanted,
  );
}

/** All of its processes run. */
export const isWhole = ({ members, wanted }: Proxy): boolean => members.length === wanted;

/** The same, for somebody who needs all of it. Throws DBP_RPC_UNREACHABLE. */
export async function connectProxy(directory: InstanceDirectory): Promise<Proxy> {
  const proxy = await findProxy(directory);
  if (proxy && isWhole(proxy)) return proxy;
  proxy?.rpc.close();
  throw new DbproxyError('DBP_RPC_UNREACHABLE', {
    socket: directory.paths.proxySocket,
    reason: proxy ? `${proxy.members.length} of ${proxy.wanted} processes answer` : 'it does not answer',
  });
}

/** A record that is damaged must not keep anybody from ending what runs. */
const specOf = async (directory: InstanceDirectory): Promise<Pick<InstanceSpec, 'proxies'>> =>
  (await directory.readInstance().catch(() => null))?.spec ?? {};

const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

function proxyOf(
  { controlDirectory }: InstancePaths,
  members: readonly ProxyProcess[],
  wanted: number,
): Proxy | null {
  const [first] = members;
  if (!first) return null;
  const { process, rpc } = first;
  if (wanted === 1) return { process, rpc, members, wanted };
  const places = numbers(wanted).map((number) => members.find((each) => each.number === number)?.rpc ?? null);
  return { process, rpc: new ProxyGroup(places, controlDirectory), members, wanted };
}

/** One of them, if it runs and answers. */
export async function findProcess(paths: InstancePaths, number: number): Promise<ProxyProcess | null> {
  let rpc: RpcClient<ProxyApi> | null = null;
  try {
    rpc = await RpcClient.connect<ProxyApi>(proxySocketOf(paths, number));
    const { pid } = await proxyStatus({ rpc });
    const identity = processIdentity(pid);
    if (identity) return { number, process: identity, rpc };
  } catch (error) {
    if (!(error instanceof DbproxyError)) throw error;
  }
  rpc?.close();
  return null;
}

/** Puts those that are not on record there. */
export async function rememberProxy(
  directory: InstanceDirectory,
  { members }: Pick<Proxy, 'members'>,
): Promise<void> {
  for (const member of members) {
    const recorded = await directory.readProxy(member.number);
    if (!isDeepStrictEqual(recorded?.process, member.process)) await rememberProcess(directory, member);
  }
}

/** Puts it on record as the instance's proxy, or one of them. */
export async function rememberProcess(
  directory: InstanceDirectory,
  member: ProxyProcess,
): Promise<ProxyStatus> {
  const status = await proxyStatus(member);
  const { version, generation } = status;
  const tunnels = await tunnelsOf(directory, member.number, member);
  await directory.writeProxy({ process: member.process, version, generation, tunnels }, member.number);
  return status;
}

/** Processes that are on record as the instance's proxy, and live. */
export async function recordedProxies(directory: InstanceDirectory): Promise<ProcessIdentity[]> {
  const records = await Promise.all(
    numbers(MAX_PROXIES).map((number) => directory.readProxy(number).catch(() => null)),
  );
  return records.flatMap((record) => (record && isAlive(record.process) ? [record.process] : []));
}

/** Processes that those of `running` have replaced and that live on, because TLS connections of sessions end in them. */
export async function findTunnels(
  directory: InstanceDirectory,
  running: Pick<Proxy, 'members'> | null,
): Promise<ProcessIdentity[]> {
  const found = await Promise.all(
    numbers(MAX_PROXIES).map((number) =>
      tunnelsOf(directory, number, running?.members.find((member) => member.number === number) ?? null),
    ),
  );
  return found.flat();
}

async function tunnelsOf(
  directory: InstanceDirectory,
  number: number,
  running: Pick<ProxyProcess, 'process'> | null,
): Promise<ProcessIdentity[]> {
  const recorded = await directory.readProxy(number).catch(() => null);
  if (!recorded) return [];
  // A replacement whose supervisor died in the middle of it left the old process on record.
  const replaced = running ? [recorded.process] : [];
  return [...(recorded.tunnels ?? []), ...replaced].filter(
    (each) => each.pid !== running?.process.pid && isAlive(each),
  );
}

/** After their proxy has ended. They end by themselves once clients have been told. */
export async function stopTunnels(tunnels: readonly ProcessIdentity[]): Promise<void> {
  await Promise.all(
    tunnels.map(async (each) => {
      if (!(await waitForExit(each, TUNNEL_END_MS))) await endProcess(each, STOP_BOUND_MS);
    }),
  );
}

/**
 * Starts those that do not run, and waits until they answer. What is of `found` is kept. Throws DBP_ENV_PORT_TAKEN,
 * DBP_INSTANCE_START_FAILED; then none runs that did not.
 */
export async function startProxy(
  directory: InstanceDirectory,
  spec: InstanceSpec,
  writer: WriterConfig | null = null,
  found: Proxy | null = null,
): Promise<Proxy> {
  const wanted = proxiesOf(spec);
  const members = [...(found?.members ?? [])];
  const missing = numbers(wanted).filter((number) => !members.some((member) => member.number === number));
  const [first = 1, ...others] = missing;
  if (members.length === 0) {
    const config = await configOf(directory, spec, first);
    const child = await spawnProxy(directory, { ...config, ...(writer ? { writer } : {}) });
    const ended = (): string | number | null => child.signalCode ?? child.exitCode;
    members.push(await awaitProcess(directory, spec, first, { pid: child.pid, ended }));
  } else others.unshift(first);
  const [parent] = members;
  const started = await Promise.allSettled(
    others.map((number) => startBeside(directory, spec, number, parent)),
  );
  for (const result of started) {
    if (result.status === 'fulfilled') members.push(result.value);
    else if (!found) await stopProxy(directory, proxyOf(directory.paths, members, wanted));
    if (result.status === 'rejected') throw result.reason;
  }
  const proxy = proxyOf(
    directory.paths,
    members.toSorted((a, b) => a.number - b.number),
    wanted,
  );
  if (!proxy) throw await startFailed(directory, spec, null);
  return proxy;
}

/** One that shares the listening sockets of `parent`. */
async function startBeside(
  directory: InstanceDirectory,
  spec: InstanceSpec,
  number: number,
  parent: ProxyProcess | undefined,
): Promise<ProxyProcess> {
  const config = await configOf(directory, spec, number);
  if (!parent) throw await startFailed(directory, spec, null);
  const { pid } = await parent.rpc.call(
    'startMember',
    { program: THIS_BUILD, config },
    { timeoutMs: START_BOUND_MS },
  );
  // Not our child: only that it has gone is seen.
  const ended = (): string | null => (processIdentity(pid) ? null : 'see its log');
  return awaitProcess(directory, spec, number, { pid, ended });
}

interface Started {
  readonly pid: number | undefined;
  /** With which exit code, or by which signal; null: it has not. */
  readonly ended: () => string | number | null;
}

async function awaitProcess(
  directory: InstanceDirectory,
  spec: InstanceSpec,
  number: number,
  { pid, ended }: Started,
): Promise<ProxyProcess> {
  const end = performance.now() + START_BOUND_MS;
  while (ended() === null && performance.now() < end) {
    const member = await findProcess(directory.paths, number);
    if (member) {
      await rememberProcess(directory, member);
      return member;
    }
    await delay(POLL_MS);
  }
  if (ended() === EXIT_PORT_TAKEN) throw await portTaken(spec);
  await endProcess(pid === undefined ? null : processIdentity(pid), STOP_BOUND_MS);
  throw await startFailed(directory, spec, ended());
}

/** Ends those that are on record and do not answer. */
export async function endSilent(directory: InstanceDirectory, running: Proxy | null): Promise<void> {
  for (const number of numbers(proxiesOf(await specOf(directory)))) {
    if (running?.members.some((member) => member.number === number)) continue;
    await endProcess((await directory.readProxy(number))?.process, STOP_BOUND_MS);
  }
}

/** Ends the proxy, answering or not, and forgets it. Returns the pids of what there was. */
export async function stopProxy(directory: InstanceDirectory, running: Proxy | null): Promise<number[]> {
  const ended = numbers(MAX_PROXIES).map(async (number) => {
    const member = running?.members.find((each) => each.number === number);
    const recorded = await directory.readProxy(number).catch(() => null);
    const identity = member?.process ?? recorded?.process ?? null;
    await member?.rpc.call('shutdown', {}, { timeoutMs: STOP_BOUND_MS }).catch(() => undefined);
    member?.rpc.close();
    const hasRun = await endProcess(identity, STOP_BOUND_MS);
    return identity && (member || hasRun) ? identity.pid : null;
  });
  return (await Promise.all(ended)).filter((pid) => pid !== null);
}

async function spawnProxy(
  { paths }: InstanceDirectory,
  config: ProxyConfig,
): Promise<ReturnType<typeof spawn>> {
  const log = await open(paths.proxyLog, 'a', 0o600);
  try {
    const child = spawn(process.execPath, [PROXY_MAIN], {
      detached: true,
      cwd: '/',
      stdio: ['ignore', log.fd, log.fd],
      env: { ...process.env, DBPROXY_PROXY_CONFIG: JSON.stringify(config) },
    });
    await spawned(child, paths.name);
    return child;
  } finally {
    await log.close();
  }
}

async function configOf(
  directory: InstanceDirectory,
  spec: InstanceSpec,
  number: number,
): Promise<ProxyConfig> {
  const { paths } = directory;
  const tls = await proxyTls(spec, paths);
  const generation = ((await directory.readProxy(number))?.generation ?? 0) + 1;
  const controlSockets = numbers(proxiesOf(spec)).map((each) => proxySocketOf(paths, each));
  return {
    instance: spec.name,
    host: spec.host,
    port: spec.port,
    socketDirectory: paths.clientSocketDirectory,
    controlSocket: proxySocketOf(paths, number),
    generation,
    maxSessions: spec.maxSessions,
    ...(tls && { tls }),
    ...(controlSockets.length > 1 ? { group: { number, controlSockets } } : {}),
  };
}

/** The instance of ours whose proxy listens there. */
async function instanceOn(port: number): Promise<string | null> {
  const pid = await portHolder(port);
  for (const name of pid === null ? [] : await listInstanceNames()) {
    const proxy = await InstanceDirectory.of(name)
      .readProxy()
      .catch(() => null);
    if (proxy?.process.pid === pid) return name;
  }
  return null;
}

async function portTaken({ host, port }: InstanceSpec): Promise<DbproxyError> {
  const [holder, free, ours] = await Promise.all([
    describePortHolder(port),
    findFreePort(host, port),
    instanceOn(port),
  ]);
  if (ours !== null)
    return new DbproxyError('DBP_ENV_PORT_TAKEN', { port, host, holder: `instance "${ours}"`, free });
  return new DbproxyError('DBP_ENV_PORT_TAKEN', { port, host, holder, free });
}

/** Why a socket does not listen, by the system's word for it. */
const WHY_NOT: Readonly<Record<string, string>> = {
  EADDRNOTAVAIL: 'no interface of this machine has that address',
  EACCES: 'permission denied, as for ports below 1024',
  ENOTFOUND: 'there is no such host',
};

async function startFailed(
  { paths }: InstanceDirectory,
  { name, host, port }: InstanceSpec,
  end: string | number | null,
): Promise<unknown> {
  const log = await readFile(paths.proxyLog, 'utf8').catch(() => '');
  const tail = log.trimEnd().split('\n').slice(-LOG_TAIL_LINES).join('\n');
  const [, code = ''] = /Error: (?:listen|getaddrinfo) (E[A-Z]+)/.exec(tail) ?? [];
  const reason = WHY_NOT[code];
  if (reason !== undefined) return new DbproxyError('DBP_ENV_LISTEN', { name, host, port, reason });
  const what =
    end === null ? `the proxy did not answer within ${START_BOUND_MS} ms` : `the proxy ended (${end})`;
  const error = new DbproxyError('DBP_INSTANCE_START_FAILED', { name, reason: `${what}\n${tail}` });
  return blamingFullDisk(paths.directory, error);
}
