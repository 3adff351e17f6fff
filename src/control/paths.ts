/**
 * Where an instance lives: every path of it, in one place. Nothing here touches the disk.
 *
 *   $DBPROXY_HOME/instances/<name>/   instance.json  password  operation.json  autoscaler.json  events.ndjson
 *                                     supervisor.json  proxy.json  supervisor.log  proxy.log  engines/<id>/  tls/
 *                                     store/ (of several writers)
 *   <run>/                            control/supervisor.sock  control/proxy.sock  clients/  <engine id>/  store/
 *
 * Further writers of an instance are instances of their own, `<name>.w2` and so on (multiwriter/names.ts).
 *
 * `<run>` is `<instance>/run`, unless a socket's path in there would be too long for the system.
 */
import { createHash } from 'node:crypto';
import { homedir, userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { DbproxyError } from '../errors/index.js';

/** Longest path of a Unix socket: `sun_path` without its final zero byte (unix(7); 104 bytes on BSD and macOS). */
export const MAX_SOCKET_PATH_BYTES = process.platform === 'darwin' ? 103 : 107;
/** The longest name that is put below the run directory: as it is bound (rpc/server.ts). */
const LONGEST_SOCKET = '/control/supervisor.sock~';

export interface InstancePaths {
  readonly name: string;
  readonly home: string;
  readonly directory: string;
  readonly instanceFile: string;
  readonly passwordFile: string;
  readonly operationFile: string;
  readonly autoscalerFile: string;
  readonly eventsFile: string;
  readonly supervisorFile: string;
  readonly supervisorLog: string;
  readonly proxyLog: string;
  readonly enginesDirectory: string;
  /** The instance's own certificate (tls/own-certificate.ts). */
  readonly tlsDirectory: string;
  readonly tlsRootFile: string;
  readonly tlsRootKeyFile: string;
  readonly tlsServerFile: string;
  /** What several writers share: the storage nodes' logs, epochs and incarnations. */
  readonly storeDirectory: string;
  readonly storeSocketDirectory: string;
  /** Held while somebody starts or stops the instance; outside of its directory because `--purge` removes that. */
  readonly lockDirectory: string;
  readonly runDirectory: string;
  readonly controlDirectory: string;
  readonly supervisorSocket: string;
  readonly proxySocket: string;
  /** Directory of the Unix socket for clients. */
  readonly clientSocketDirectory: string;
}

/** `$DBPROXY_HOME`, else `$XDG_STATE_HOME/dbproxy` (`~/.local/state/dbproxy`), else `/var/lib/dbproxy` for root. */
export function dbproxyHome(env: NodeJS.ProcessEnv = process.env, uid = userInfo().uid): string {
  if (env.DBPROXY_HOME) return resolve(env.DBPROXY_HOME);
  // Engines of root run under another uid, which cannot reach /root (0700).
  if (uid === 0) return '/var/lib/dbproxy';
  return join(env.XDG_STATE_HOME ? resolve(env.XDG_STATE_HOME) : join(homedir(), '.local/state'), 'dbproxy');
}

/**
 * Where versions of PostgreSQL are kept that all instances share: `$DBPROXY_CACHE`, else `$DBPROXY_HOME/cache`, else
 * `$XDG_CACHE_HOME/dbproxy` (`~/.cache/dbproxy`), else `/var/cache/dbproxy` for root.
 */
export function engineCache(env: NodeJS.ProcessEnv = process.env, uid = userInfo().uid): string {
  if (env.DBPROXY_CACHE) return resolve(env.DBPROXY_CACHE);
  if (env.DBPROXY_HOME) return join(resolve(env.DBPROXY_HOME), 'cache');
  // For the same reason as above.
  if (uid === 0) return '/var/cache/dbproxy';
  return join(env.XDG_CACHE_HOME ? resolve(env.XDG_CACHE_HOME) : join(homedir(), '.cache'), 'dbproxy');
}

export function assertInstanceName(name: string): void {
  if (!/^[a-z][a-z0-9-]{0,31}(\.w[2-9])?$/.test(name))
    throw new DbproxyError('DBP_USAGE_INSTANCE_NAME', { name });
}

/** Same answer for everybody who asks: the CLI, the supervisor and the one that cleans up after both. */
export function runDirectoryOf(instanceDirectory: string, uid = userInfo().uid): string {
  const inside = join(instanceDirectory, 'run');
  if (Buffer.byteLength(inside + LONGEST_SOCKET) <= MAX_SOCKET_PATH_BYTES) return inside;
  const hash = createHash('sha256').update(instanceDirectory).digest('hex').slice(0, 12);
  return `/tmp/dbproxy-${uid}-${hash}`;
}

/** Throws DBP_USAGE_INSTANCE_NAME. */
export function instancePaths(name: string, home = dbproxyHome()): InstancePaths {
  assertInstanceName(name);
  const directory = join(home, 'instances', name);
  const runDirectory = runDirectoryOf(directory);
  const controlDirectory = join(runDirectory, 'control');
  const tlsDirectory = join(directory, 'tls');
  return {
    name,
    home,
    directory,
    instanceFile: join(directory, 'instance.json'),
    passwordFile: join(directory, 'password'),
    operationFile: join(directory, 'operation.json'),
    autoscalerFile: join(directory, 'autoscaler.json'),
    eventsFile: join(directory, 'events.ndjson'),
    supervisorFile: join(directory, 'supervisor.json'),
    supervisorLog: join(directory, 'supervisor.log'),
    proxyLog: join(directory, 'proxy.log'),
    enginesDirectory: join(directory, 'engines'),
    tlsDirectory,
    tlsRootFile: join(tlsDirectory, 'root.crt'),
    tlsRootKeyFile: join(tlsDirectory, 'root.key'),
    tlsServerFile: join(tlsDirectory, 'server.pem'),
    storeDirectory: join(directory, 'store'),
    storeSocketDirectory: join(runDirectory, 'store'),
    lockDirectory: join(home, 'locks', name),
    runDirectory,
    controlDirectory,
    supervisorSocket: join(controlDirectory, 'supervisor.sock'),
    proxySocket: join(controlDirectory, 'proxy.sock'),
    clientSocketDirectory: join(runDirectory, 'clients'),
  };
}

/** Most proxy processes of one instance. */
export const MAX_PROXIES = 8;

/** Of several proxy processes (`up --proxies`) the first has the names that an only one has. */
export const proxySocketOf = ({ controlDirectory }: InstancePaths, number: number): string =>
  join(controlDirectory, `${proxyName(number)}.sock`);
export const proxyFileOf = ({ directory }: InstancePaths, number: number): string =>
  join(directory, `${proxyName(number)}.json`);
const proxyName = (number: number): string => (number === 1 ? 'proxy' : `proxy-${number}`);

export const engineDirectory = (paths: InstancePaths, id: string): string => join(paths.enginesDirectory, id);
export const engineSocketDirectory = (paths: InstancePaths, id: string): string =>
  join(paths.runDirectory, id);
