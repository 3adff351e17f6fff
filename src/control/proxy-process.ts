/** The proxy process: start it, find the one that runs, keep a connection to it. It outlives the supervisor. */
import { spawn } from 'node:child_process';
import { open, readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { processIdentity } from '../engine/index.js';
import type { ProcessIdentity } from '../engine/types.js';
import { DbproxyError } from '../errors/index.js';
import { blamingFullDisk } from '../errors/no-room.js';
import type { WriterConfig } from '../multiwriter/writer/config.js';
import type { Program, ProxyApi, ProxyConfig, ProxyStatus } from '../proxy/control-api.js';
import { RpcClient } from '../rpc/index.js';
import type { InstanceSpec } from './api.js';
import type { InstanceDirectory } from './instance-directory.js';
import { describePortHolder, findFreePort } from './port-holder.js';
import { endProcess, isAlive, waitForExit } from './processes.js';
import { proxyTls } from './tls/index.js';

const PROXY_MAIN = fileURLToPath(new URL('../../dist/proxy/main.js', import.meta.url));
/** The proxy of the build that runs here. */
export const THIS_BUILD: Program = { node: process.execPath, main: PROXY_MAIN };
/** How the proxy says that its port is taken. */
const EXIT_PORT_TAKEN = 98;
const READY_BOUND_MS = 10_000;
const STATUS_BOUND_MS = 3_000;
const STOP_BOUND_MS = 3_000;
/** For what sessions were told at their end to pass the tunnels, ms. */
const TUNNEL_END_MS = 500;
const POLL_MS = 10;
const LOG_TAIL_LINES = 15;

/** A proxy that runs, and our connection to it. */
export interface Proxy {
  readonly process: ProcessIdentity;
  readonly rpc: RpcClient<ProxyApi>;
}

export const proxyStatus = ({ rpc }: Pick<Proxy, 'rpc'>): Promise<ProxyStatus> =>
  rpc.call('status', {}, { timeoutMs: STATUS_BOUND_MS });

/** The proxy of this instance, if one runs and answers. */
export async function findProxy({ paths }: InstanceDirectory): Promise<Proxy | null> {
  let rpc: RpcClient<ProxyApi> | null = null;
  try {
    rpc = await RpcClient.connect<ProxyApi>(paths.proxySocket);
    const { pid } = await proxyStatus({ rpc });
    const identity = processIdentity(pid);
    if (identity) return { process: identity, rpc };
  } catch (error) {
    if (!(error instanceof DbproxyError)) throw error;
  }
  rpc?.close();
  return null;
}

/** Puts it on record as the instance's proxy. */
export async function rememberProxy(directory: InstanceDirectory, proxy: Proxy): Promise<ProxyStatus> {
  const status = await proxyStatus(proxy);
  const { version, generation } = status;
  const tunnels = await findTunnels(directory, proxy);
  await directory.writeProxy({ process: proxy.process, version, generation, tunnels });
  return status;
}

/** Processes that `running` has replaced and that live on, because TLS connections of sessions end in them. */
export async function findTunnels(
  directory: InstanceDirectory,
  running: Pick<Proxy, 'process'> | null,
): Promise<ProcessIdentity[]> {
  const recorded = await directory.readProxy().catch(() => null);
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

/** Starts a proxy and waits until it answers. Throws DBP_ENV_PORT_TAKEN, DBP_INSTANCE_START_FAILED; then none runs. */
export async function startProxy(
  directory: InstanceDirectory,
  spec: InstanceSpec,
  writer: WriterConfig | null = null,
): Promise<Proxy> {
  const generation = ((await directory.readProxy())?.generation ?? 0) + 1;
  const child = await spawnProxy(directory, {
    ...(await configOf(directory, spec, generation)),
    ...(writer ? { writer } : {}),
  });
  const end = performance.now() + READY_BOUND_MS;
  while (child.exitCode === null && child.signalCode === null && performance.now() < end) {
    const proxy = await findProxy(directory);
    if (proxy) {
      await rememberProxy(directory, proxy);
      return proxy;
    }
    await delay(POLL_MS);
  }
  if (child.exitCode === EXIT_PORT_TAKEN) throw await portTaken(spec);
  await endProcess(child.pid ? processIdentity(child.pid) : null, STOP_BOUND_MS);
  throw await startFailed(directory, spec.name, child.signalCode ?? child.exitCode);
}

/** Ends the proxy, answering or not, and forgets it. Returns its pid if there was one. */
export async function stopProxy(directory: InstanceDirectory, running: Proxy | null): Promise<number | null> {
  const recorded = await directory.readProxy().catch(() => null);
  const identity = running?.process ?? recorded?.process ?? null;
  if (running) {
    await running.rpc.call('shutdown', {}, { timeoutMs: STOP_BOUND_MS }).catch(() => undefined);
    running.rpc.close();
    await endProcess(running.process, STOP_BOUND_MS);
    return running.process.pid;
  }
  return identity && (await endProcess(identity, STOP_BOUND_MS)) ? identity.pid : null;
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
    // Its end is seen by exitCode; without a listener a failed spawn would end us.
    child.on('error', () => undefined);
    child.unref();
    return child;
  } finally {
    await log.close();
  }
}

async function configOf(
  { paths }: InstanceDirectory,
  spec: InstanceSpec,
  generation: number,
): Promise<ProxyConfig> {
  const tls = await proxyTls(spec, paths);
  return {
    instance: spec.name,
    host: spec.host,
    port: spec.port,
    socketDirectory: paths.clientSocketDirectory,
    controlSocket: paths.proxySocket,
    generation,
    maxSessions: spec.maxSessions,
    ...(tls && { tls }),
  };
}

async function portTaken({ host, port }: InstanceSpec): Promise<DbproxyError> {
  const [holder, free] = await Promise.all([describePortHolder(port), findFreePort(host, port)]);
  return new DbproxyError('DBP_ENV_PORT_TAKEN', { port, host, holder, free });
}

async function startFailed(
  { paths }: InstanceDirectory,
  name: string,
  end: string | number | null,
): Promise<unknown> {
  const log = await readFile(paths.proxyLog, 'utf8').catch(() => '');
  const tail = log.trimEnd().split('\n').slice(-LOG_TAIL_LINES).join('\n');
  const what =
    end === null ? `the proxy did not answer within ${READY_BOUND_MS} ms` : `the proxy ended (${end})`;
  const error = new DbproxyError('DBP_INSTANCE_START_FAILED', { name, reason: `${what}\n${tail}` });
  return blamingFullDisk(paths.directory, error);
}
