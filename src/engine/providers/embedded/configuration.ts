/**
 * How our engines are configured. Two layers:
 *
 * - `dbproxy.conf`, included by postgresql.conf: sizes and tuning. What a user sets by ALTER SYSTEM wins over it
 *   (postgresql.auto.conf is read last), and survives.
 * - the command line of `postgres`: what the rest of dbproxy relies on. Nothing overrides it.
 */
import { join } from 'node:path';
import { sizeSettings } from '../../sizes.js';
import type { SizeName } from '../../types.js';

/** Every engine has a socket directory of its own, so all may use the same number. */
export const SOCKET_PORT = 5432;

/** Of the path of a Unix socket, without the final NUL (sockaddr_un: 108 bytes on Linux, 104 on macOS). */
export const MAX_SOCKET_PATH_BYTES = process.platform === 'darwin' ? 103 : 107;

export const socketPath = (directory: string): string => join(directory, `.s.PGSQL.${SOCKET_PORT}`);

/** Who may open the socket is decided by its 0700 directory; there is no other way in. */
export const HBA = `# Written by dbproxy. The only way in is the Unix socket, in a directory that only dbproxy can open.
local all all trust
local replication all trust
`;

/**
 * A hot standby refuses to start when one of these is smaller than on its primary ("Hot Standby, Administrator's
 * Overview"), so they are equal for all sizes. 1 000 sessions and a warm connection for many of them fit.
 */
const SAME_EVERYWHERE = {
  max_connections: '1200',
  max_worker_processes: '16',
  max_wal_senders: '10',
  max_prepared_transactions: '64',
  max_locks_per_transaction: '64',
};

export interface Identity {
  readonly id: string;
  readonly socketDirectory: string;
}

/** The settings that dbproxy relies on, as arguments of `postgres`. */
export function serverArguments(dataDirectory: string, { id, socketDirectory }: Identity): string[] {
  const settings: Record<string, string> = {
    ...SAME_EVERYWHERE,
    listen_addresses: '',
    port: String(SOCKET_PORT),
    unix_socket_directories: quoteListItem(socketDirectory),
    unix_socket_permissions: '0700',
    hba_file: join(dataDirectory, 'pg_hba.conf'),
    cluster_name: `dbproxy-${id}`,
    logging_collector: 'off',
    log_destination: 'stderr',
    hot_standby: 'on',
    wal_level: 'replica',
    max_replication_slots: '10',
    archive_mode: 'off',
    // Anything here would run on the way of a promotion, while clients are held.
    restore_command: '',
    recovery_end_command: '',
    recovery_target_timeline: 'latest',
  };
  return [
    '-D',
    dataDirectory,
    ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ];
}

export interface Upstream {
  readonly socketDirectory: string;
  readonly user: string;
  readonly slot: string;
}

/** `dbproxy.conf`; with an upstream, that of its standby. */
export function configuration(id: string, size: SizeName, upstream?: Upstream): string {
  return render({
    ...sizeSettings(size),
    ...TUNING,
    ...(upstream === undefined
      ? {}
      : { primary_conninfo: connectionInfo(id, upstream), primary_slot_name: upstream.slot }),
  });
}

const TUNING = {
  password_encryption: 'scram-sha-256',
  superuser_reserved_connections: '10',
  // The list of hot blocks that travels with a base backup is at most this old; the standby loads them at its start.
  shared_preload_libraries: 'pg_prewarm',
  'pg_prewarm.autoprewarm': 'on',
  'pg_prewarm.autoprewarm_interval': '5s',
  // Segments are 1 MB, so these are counted in files too. Recycled ones spare a commit the making of a new one.
  min_wal_size: '128MB',
  max_wal_size: '1GB',
  // A standby that stopped listening must not fill the disk of its primary.
  max_slot_wal_keep_size: '4GB',
  wal_receiver_status_interval: '1s',
  // The default of 5 s is for which a new standby would wait when its first try comes too early.
  wal_retrieve_retry_interval: '100ms',
  log_line_prefix: '%m [%p] %q%u@%d %a ',
};

const connectionInfo = (id: string, { socketDirectory, user }: Upstream): string =>
  Object.entries({ host: socketDirectory, port: SOCKET_PORT, user, application_name: `dbproxy-${id}` })
    .map(([name, value]) => `${name}='${String(value).replace(/[\\']/g, '\\$&')}'`)
    .join(' ');

function render(settings: Record<string, string>): string {
  const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'`);
  return `# Written by dbproxy, and written again. Use ALTER SYSTEM for settings of your own: they win.\n${lines.join('\n')}\n`;
}

/** One item of a list setting: quoted like an identifier, since a comma in the path would end it. */
function quoteListItem(item: string): string {
  return `"${item.replaceAll('"', '""')}"`;
}
