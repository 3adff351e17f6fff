/**
 * The container of an engine. It is made anew for every start, on the engine's volume: so each start has the limits of its
 * size, and there is one way to start, whatever became of the container before. Nothing is asked of the image beyond what the
 * official one documents: its variables, its directory of scripts for a new cluster, `postgres` with arguments.
 */
import { DbproxyError } from '../../../errors/index.js';
import { INCLUDE_CONFIGURATION, POSTGRES_PORT, serverArguments, SUPERUSER } from '../../configuration.js';
import { freePort } from '../../free-port.js';
import { capSize } from '../../sizes.js';
import type { ContainerIdentity, SizeName, SocketAccess } from '../../types.js';
import type { Image } from './image.js';
import { containerName, labelsOf, volumeName, type Owner } from './naming.js';
import { ensureNetwork } from './network.js';
import { answered, HOST, statusOf, type Container, type Runtime } from './runtime.js';
import { SOCKETS } from './socket.js';
import { tarOf, type TarEntry } from '../../tar.js';

/** Where the engine's volume is mounted. Not a path of the image's own volumes, which differ between its versions. */
export const VOLUME = '/dbproxy';
export const DATA = `${VOLUME}/data`;
/** Files of ours that are part of the container, not of the data. */
export const ETC = '/etc/dbproxy';

const PORT_KEY = `${POSTGRES_PORT}/tcp`;
const PORT_TRIES = 5;
const STOP_SECONDS = 30;
const MIN_SHM_BYTES = 64 * 1024 * 1024;

/**
 * Everybody needs a password but who is inside of the container, or can open its socket in a directory of ours. Replication is for engines of the same network; so is what
 * comes in by the published port, whose packets the runtime sends from the network's own gateway.
 */
const HBA = `# Written by dbproxy.
local all all trust
local replication all trust
host replication ${SUPERUSER} samenet scram-sha-256
host all all all scram-sha-256
`;

export interface ContainerPlan {
  readonly id: string;
  readonly size: SizeName;
  readonly image: Image;
  /** Instead of `postgres` and its arguments. */
  readonly command?: (server: readonly string[]) => readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** Files that have to be there when it starts. */
  readonly files?: readonly TarEntry[];
  /** Files and directories of the host, `/here:/there`. */
  readonly binds?: readonly string[];
  /** A directory of the host in which it is to make its socket, too. */
  readonly socket?: SocketAccess | undefined;
  /** Where it was published before. */
  readonly port?: number | undefined;
}

export interface MadeContainer {
  readonly container: Container;
  readonly identity: ContainerIdentity;
}

/** Made, with its files; not started. One of the same name that is left is in the way, and goes. */
export async function makeContainer(
  runtime: Runtime,
  owner: Owner,
  plan: ContainerPlan,
  port: number,
): Promise<MadeContainer> {
  const { client } = runtime;
  const name = containerName(owner, plan.id);
  const { id, size, image, socket } = plan;
  const own = { listen_addresses: '*', hba_file: `${ETC}/pg_hba.conf` };
  // Its own directory stays: there the entrypoint, and who is inside, look for it.
  const sockets = socket ? { unix_socket_directories: `${image.socketDirectories},${SOCKETS}` } : {};
  const server = ['postgres', ...serverArguments(id, { ...own, ...sockets })];
  const network = await ensureNetwork(runtime, owner);
  const container = await answered(
    client.container.create({
      name,
      Image: image.id,
      Cmd: [...(plan.command?.(server) ?? server)],
      Env: Object.entries({ PGDATA: DATA, ...plan.environment }).map(([key, value]) => `${key}=${value}`),
      Labels: labelsOf(owner, 'engine', id),
      // A fast shutdown; PostgreSQL's own answer to SIGTERM waits for every client to leave.
      StopSignal: 'SIGINT',
      StopTimeout: STOP_SECONDS,
      ExposedPorts: { [PORT_KEY]: {} },
      HostConfig: {
        PortBindings: { [PORT_KEY]: [{ HostIp: HOST, HostPort: String(port) }] },
        Mounts: [
          {
            ...{ Type: 'volume', Source: volumeName(owner, id), Target: VOLUME },
            VolumeOptions: {
              NoCopy: true,
              Labels: labelsOf(owner, 'data', id),
              DriverConfig: { Name: 'local', Options: {} },
            },
          },
        ],
        // z: where SELinux is, it may be used by containers.
        Binds: [...(plan.binds ?? []), ...(socket ? [`${socket.directory}:${SOCKETS}:z`] : [])],
        NetworkMode: network,
        RestartPolicy: { Name: 'no' },
        LogConfig: { Type: 'json-file', Config: { 'max-size': '16m', 'max-file': '2' } },
        ...limitsOf(size, runtime),
      },
    }),
  );
  const files = [{ path: file(ETC, 'pg_hba.conf'), mode: 0o644, content: HBA }, ...(plan.files ?? [])];
  await putFiles(container, files);
  return { container, identity: { id: container.id, name, image: image.name, imageId: image.id } };
}

/** What a size comes to as limits of a container. Shared memory of parallel queries counts as memory, too. */
export function limitsOf(size: SizeName, { machine }: Pick<Runtime, 'machine'>): Record<string, number> {
  const { cpus, memoryBytes } = capSize(size, machine);
  return {
    NanoCpus: cpus * 1e9,
    Memory: memoryBytes,
    // No swap beyond it: a server that swaps is worse than one that is told that there is no more.
    MemorySwap: memoryBytes,
    ShmSize: Math.max(MIN_SHM_BYTES, Math.floor(memoryBytes / 4)),
  };
}

/**
 * Makes and starts it, on a port that nobody has: the one it had before, or a new one. Between our look and the start somebody
 * may take the port; then another one is tried.
 */
export async function startContainer(
  runtime: Runtime,
  owner: Owner,
  plan: ContainerPlan,
  beforeStart: (made: MadeContainer) => Promise<void> = async () => undefined,
): Promise<MadeContainer & { readonly port: number }> {
  for (let attempt = 1; ; attempt++) {
    const port = attempt === 1 && plan.port !== undefined ? plan.port : await freePort(HOST);
    const made = await makeContainer(runtime, owner, plan, port);
    try {
      await beforeStart(made);
      await answered(made.container.start(), 60_000);
      return { ...made, port };
    } catch (error) {
      await removeContainer(made.container);
      const taken = /port is already allocated|address already in use/i.test((error as Error).message);
      if (taken && attempt < PORT_TRIES) continue;
      if (statusOf(error) === null) throw error;
      const reason = (error as Error).message;
      throw new DbproxyError(
        'DBP_ENGINE_START',
        { engine: plan.id, waitedMs: 0, reason, log: '' },
        { cause: error },
      );
    }
  }
}

/** Also the volumes that the image asked for and nobody uses. */
export async function removeContainer(container: Container): Promise<void> {
  try {
    await answered(container.remove({ force: true, v: true }), 60_000);
  } catch (error) {
    // Gone, or somebody else is removing it.
    if (statusOf(error) !== 404 && statusOf(error) !== 409) throw error;
  }
}

export async function putFiles(container: Container, files: readonly TarEntry[]): Promise<void> {
  await answered(container.putArchive(tarOf(files), { path: '/' }));
}

/** As an entry of an archive. */
export const file = (directory: string, name: string): string => `${directory.slice(1)}/${name}`;

/** What a new cluster needs beside its configuration. */
export function newCluster(
  superuserPassword: string,
  image: Pick<Image, 'postgres'>,
  configuration: string,
): Pick<ContainerPlan, 'environment' | 'files'> {
  return {
    environment: {
      POSTGRES_USER: SUPERUSER,
      POSTGRES_DB: SUPERUSER,
      POSTGRES_PASSWORD: superuserPassword,
      POSTGRES_INITDB_ARGS: initdbArguments(image.postgres).join(' '),
    },
    files: [
      { path: file(ETC, 'dbproxy.conf'), mode: 0o644, content: configuration },
      { path: 'docker-entrypoint-initdb.d/zz-dbproxy.sh', mode: 0o644, content: INITDB_SCRIPT },
    ],
  };
}

/**
 * As those of an embedded engine (providers/embedded/initdb.ts), so that engines of either kind may follow each other. The
 * builtin provider came with 17; before it, what sorts alike everywhere is C.
 */
function initdbArguments(postgres: string): string[] {
  const builtin = ['--locale-provider=builtin', '--builtin-locale=C.UTF-8'];
  return [
    ...['--data-checksums', '--wal-segsize=1', '--encoding=UTF8', '--locale=C'],
    ...(Number(postgres.split('.')[0]) >= 17 ? builtin : []),
  ];
}

/**
 * Run by the entrypoint after initdb and after the image's own scripts. What those have put into shared_preload_libraries stays
 * (timescaledb does not work without); pg_prewarm is taken in where the image has it.
 */
const INITDB_SCRIPT = `
dbproxy_preload="$(postgres -D "$PGDATA" -C shared_preload_libraries)"
dbproxy_prefix="$(dirname "$(dirname "$(readlink -f "$(command -v postgres)")")")"
if [ -n "$(find "$dbproxy_prefix" -name pg_prewarm.so)" ]; then
  dbproxy_preload="\${dbproxy_preload:+$dbproxy_preload, }pg_prewarm"
fi
sed "s/^shared_preload_libraries = .*/shared_preload_libraries = '$dbproxy_preload'/" ${ETC}/dbproxy.conf >"$PGDATA/dbproxy.conf"
if [ -z "$dbproxy_preload" ] || [ "\${dbproxy_preload%pg_prewarm}" = "$dbproxy_preload" ]; then
  sed -i '/^pg_prewarm\\./d' "$PGDATA/dbproxy.conf"
fi
printf "${INCLUDE_CONFIGURATION.replaceAll('\n', '\\n')}" >>"$PGDATA/postgresql.conf"
`;
