/**
 * How our engines are configured, wherever they run. Two layers:
 *
 * - `dbproxy.conf` in the data directory, included by postgresql.conf: sizes and tuning. What a user sets by ALTER SYSTEM wins
 *   over it (postgresql.auto.conf is read last), and survives.
 * - the command line of `postgres`: what the rest of dbproxy relies on. Nothing overrides it.
 */
import { sizeSettings, type Machine } from './sizes.js';
import type { SizeName } from './types.js';

/** Every engine has an address of its own, so all may use the same number. */
export const POSTGRES_PORT = 5432;

export const SUPERUSER = 'postgres';

export const CONFIGURATION_FILE = 'dbproxy.conf';

/** Appended to postgresql.conf. */
export const INCLUDE_CONFIGURATION = `\ninclude '${CONFIGURATION_FILE}'\n`;

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

/** What dbproxy relies on, as arguments of `postgres`; `own`: what depends on how the engine runs. */
export function serverArguments(id: string, own: Readonly<Record<string, string>>): string[] {
  const settings: Record<string, string> = {
    ...SAME_EVERYWHERE,
    port: String(POSTGRES_PORT),
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
    ...own,
  };
  return Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

/** Where a standby finds its primary. */
export interface Upstream {
  /** Parameters of libpq: `host`, `port`, `user`, … */
  readonly connection: Readonly<Record<string, string>>;
  readonly slot: string;
}

export interface ConfigurationOptions {
  readonly upstream?: Upstream | undefined;
  /** What it runs on; this machine unless told otherwise. */
  readonly machine?: Machine | undefined;
  /** A standby that has every commit on its disk before the client is told. */
  readonly synchronous?: string | undefined;
  /** Libraries that are loaded beside our own, `timescaledb, pg_cron`. */
  readonly preload?: readonly string[] | undefined;
}

/** `dbproxy.conf`; with an upstream, that of its standby. */
export function configuration(
  id: string,
  size: SizeName,
  { upstream, machine, synchronous, preload = [PREWARM] }: ConfigurationOptions = {},
): string {
  return render({
    ...sizeSettings(size, machine),
    ...TUNING,
    ...(preload.includes(PREWARM) ? PREWARMING : {}),
    shared_preload_libraries: preload.join(', '),
    ...(synchronous === undefined
      ? {}
      : { synchronous_standby_names: `FIRST 1 ("${standbyName(synchronous)}")` }),
    ...(upstream === undefined
      ? {}
      : { primary_conninfo: connectionInfo(id, upstream), primary_slot_name: upstream.slot }),
  });
}

export const PREWARM = 'pg_prewarm';

/** The list of hot blocks that travels with a base backup is at most this old; the standby loads them at its start. */
const PREWARMING = {
  'pg_prewarm.autoprewarm': 'on',
  'pg_prewarm.autoprewarm_interval': '5s',
};

const TUNING = {
  password_encryption: 'scram-sha-256',
  superuser_reserved_connections: '10',
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

/** By which its primary knows it (application_name). */
export const standbyName = (id: string): string => `dbproxy-${id}`;

const connectionInfo = (id: string, { connection }: Upstream): string =>
  Object.entries({ ...connection, application_name: standbyName(id) })
    .map(([name, value]) => `${name}='${value.replace(/[\\']/g, '\\$&')}'`)
    .join(' ');

/** As guc-file.l reads it. */
const quoted = (value: string): string =>
  `'${value.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll("'", "''")}'`;

function render(settings: Record<string, string>): string {
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${quoted(value)}`);
  return `# Written by dbproxy, and written again. Use ALTER SYSTEM for settings of your own: they win.\n${lines.join('\n')}\n`;
}

/** The standby that commits wait for, in a `dbproxy.conf`. */
export const synchronousOf = (text: string): string | undefined =>
  /^synchronous_standby_names = 'FIRST 1 \("dbproxy-([^"]+)"\)'$/m.exec(text)?.[1];

/** The libraries that a `dbproxy.conf` names; our own when it names none. */
export function preloadOf(text: string): string[] {
  const [, list] = /^shared_preload_libraries = '(.*)'$/m.exec(text) ?? [];
  return list === undefined ? [PREWARM] : librariesOf(list);
}

/** Of the value of shared_preload_libraries. */
export const librariesOf = (list: string): string[] =>
  list
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
