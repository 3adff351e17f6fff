/**
 * Makes a streaming hot standby in a container. Its copy of the primary is made in one of two ways:
 *
 * - by `pg_basebackup` in the new container itself, over the instance's network, where the image has that program and the
 *   primary is a container, too;
 * - else by us: the same command of the replication protocol that pg_basebackup sends, its archive written into the volume.
 *
 * The slot comes first, so that the primary keeps all WAL from before the copy until the standby has it. On failure the slot is
 * dropped; the caller removes container and volume.
 */
import { chmod } from 'node:fs/promises';
import { DbproxyError } from '../../../errors/index.js';
import { adminQuery } from '../../admin.js';
import { assertSameCollations } from '../../compatible.js';
import {
  CONFIGURATION_FILE,
  configuration,
  librariesOf,
  POSTGRES_PORT,
  type Upstream,
} from '../../configuration.js';
import {
  createReplicationSlot,
  dropReplicationSlot,
  refuseTablespaces,
  slotName,
  waitForStreaming,
} from '../../replication.js';
import { streamBaseBackup } from '../../base-backup-stream.js';
import type { EngineRecord, ProvisionOptions, SocketAccess } from '../../types.js';
import { DATA, ETC, file, putFiles, type ContainerPlan, type MadeContainer } from './container.js';
import type { Image } from './image.js';
import { containerName, type Owner } from './naming.js';
import { answered, type Runtime } from './runtime.js';
import { startEngine } from './start.js';
import type { TarEntry } from '../../tar.js';

export interface StandbyPlan {
  readonly runtime: Runtime;
  readonly owner: Owner;
  readonly primary: EngineRecord;
  readonly draft: EngineRecord;
  readonly image: Image;
  readonly options: ProvisionOptions;
  readonly socket: SocketAccess | undefined;
}

/** A copy takes as long as the data is big; this is for one that does not move. */
const COPY_BOUND_MS = 30 * 60_000;

/** Throws DBP_ENGINE_STANDBY. */
export async function makeStandby(plan: StandbyPlan): Promise<EngineRecord> {
  const { primary, draft, options } = plan;
  try {
    await refuseTablespaces(primary);
    await createReplicationSlot(primary, draft.id);
    const started = await copyAndStart(plan);
    options.onProgress?.({ step: 'wait-ready' });
    // Before this it is not ready for queries, and it is not ready before it is consistent.
    await waitForStreaming(started, '0/0', options.signal);
    await assertSameCollations(started);
    return started;
  } catch (cause) {
    await dropReplicationSlot(primary, draft.id).catch(() => undefined);
    if (cause instanceof DbproxyError && PASS.includes(cause.code)) throw cause;
    const reason = (cause as Error).message;
    throw new DbproxyError('DBP_ENGINE_STANDBY', { engine: draft.id, reason }, { cause });
  }
}

const PASS: readonly string[] = [
  'DBP_INTERRUPTED',
  'DBP_ENV_DOCKER',
  'DBP_ENGINE_START',
  'DBP_ENGINE_INCOMPATIBLE',
];

async function copyAndStart(plan: StandbyPlan): Promise<EngineRecord> {
  const { runtime, owner, primary, draft, image, options, socket } = plan;
  const { id, size } = options;
  const { upstream, binds } = await wayToPrimary(plan);
  const [row] = await adminQuery<{ preload: string }>(
    primary,
    `select current_setting('shared_preload_libraries') as preload`,
  );
  const preload = librariesOf(row?.preload ?? '');
  const content = configuration(id, size, { upstream, machine: runtime.machine, preload });
  const base = { id, size, image, binds, socket };
  options.onProgress?.({ step: 'backup' });
  if (image.hasBaseBackup && primary.provider === 'docker') {
    const copying = copiedInside(upstream, content, image);
    return startEngine(
      runtime,
      owner,
      draft,
      { ...base, ...copying },
      {
        signal: options.signal,
        readyWithinMs: COPY_BOUND_MS,
        onLine: (line) => tellFraction(line, options),
      },
    );
  }
  return startEngine(runtime, owner, draft, base, {
    signal: options.signal,
    beforeStart: (made) => copyByUs(plan, made, content),
  });
}

interface Way {
  readonly upstream: Upstream;
  readonly binds: readonly string[];
}

/** The directory in which a container finds the socket of an embedded primary. */
const SOCKET_DIRECTORY = '/dbproxy-primary';

async function wayToPrimary({ primary, owner, options }: StandbyPlan): Promise<Way> {
  const slot = slotName(options.id);
  const common = { port: String(POSTGRES_PORT), user: primary.superuser };
  if (primary.access.kind === 'socket') {
    await openToContainer(primary.access);
    const name = `.s.PGSQL.${primary.access.port}`;
    const bind = `${primary.access.directory}/${name}:${SOCKET_DIRECTORY}/${name}`;
    return { upstream: { connection: { host: SOCKET_DIRECTORY, ...common }, slot }, binds: [bind] };
  }
  const host = primary.container?.name ?? containerName(owner, primary.id);
  const connection = { host, ...common, password: options.superuserPassword, sslmode: 'disable' };
  return { upstream: { connection, slot }, binds: [] };
}

/**
 * The server in the container runs under another user. Its socket lies in a directory that nobody else can enter, here; in the
 * container the socket alone is mounted.
 */
const openToContainer = ({ directory, port }: { directory: string; port: number }): Promise<void> =>
  chmod(`${directory}/.s.PGSQL.${port}`, 0o777);

/** For a file that may hold the password: the entrypoint gives it to the user that the server runs as. */
const PRIVATE = 0o600;

/**
 * `pg_basebackup` runs as root there, with the data in a directory of its own until it is whole; the entrypoint then gives it
 * to the server's user. It needs no WAL: the slot keeps that for the standby.
 */
const STANDBY_SCRIPT = `set -e
rm -rf "$PGDATA" "$PGDATA.copy"
pg_basebackup --pgdata="$PGDATA.copy" --dbname="$DBPROXY_PRIMARY" \\
  --wal-method=none --checkpoint=fast --label="$DBPROXY_LABEL" --progress --no-password
cp ${ETC}/${CONFIGURATION_FILE} "$PGDATA.copy/${CONFIGURATION_FILE}"
: >"$PGDATA.copy/standby.signal"
mv "$PGDATA.copy" "$PGDATA"
exec "$@"
`;

function copiedInside(
  upstream: Upstream,
  content: string,
  image: Image,
): Pick<ContainerPlan, 'command' | 'environment' | 'files'> {
  const { password = '', ...connection } = upstream.connection;
  return {
    command: (server) => ['sh', `${ETC}/standby.sh`, ...image.entrypoint, ...server],
    environment: {
      PGPASSWORD: password,
      DBPROXY_PRIMARY: Object.entries(connection)
        .map(([key, value]) => `${key}=${value}`)
        .join(' '),
      DBPROXY_LABEL: upstream.slot,
    },
    files: [
      { path: file(ETC, 'standby.sh'), mode: 0o644, content: STANDBY_SCRIPT },
      { path: file(ETC, CONFIGURATION_FILE), mode: PRIVATE, content },
    ],
  };
}

/** `  40232/40232 kB (100%), 1/1 tablespace` */
function tellFraction(line: string, { onProgress }: ProvisionOptions): void {
  const [, percent] = /\((\d+)%\)/.exec(line) ?? [];
  if (percent !== undefined) onProgress?.({ step: 'copy', fraction: Number(percent) / 100 });
}

async function copyByUs(
  { primary, options }: StandbyPlan,
  { container }: MadeContainer,
  content: string,
): Promise<void> {
  const { signal, onProgress } = options;
  await putFiles(container, [{ path: `${DATA.slice(1)}/`, mode: 0o700 }]);
  await streamBaseBackup(primary, {
    label: slotName(options.id),
    signal,
    onProgress: (fraction) => onProgress?.({ step: 'copy', fraction }),
    consume: (archive) => answered(container.putArchive(archive, { path: DATA }), COPY_BOUND_MS),
  });
  const files: TarEntry[] = [
    { path: file(DATA, CONFIGURATION_FILE), mode: PRIVATE, content },
    { path: file(DATA, 'standby.signal'), mode: PRIVATE },
  ];
  await putFiles(container, files);
}
