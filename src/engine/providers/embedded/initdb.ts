/** Makes the data directory of a new primary. */
import { execFile } from 'node:child_process';
import { appendFile, chown, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { DbproxyError } from '../../../errors/index.js';
import { blamingFullDisk } from '../../../errors/no-room.js';
import { CONFIGURATION_FILE, configuration, INCLUDE_CONFIGURATION, SUPERUSER } from '../../configuration.js';
import type { ProvisionOptions } from '../../types.js';
import { throwIfAborted } from '../../wait.js';
import type { Binaries } from './binaries.js';
import { HBA } from './configuration.js';
import { dataDirectoryOf } from './paths.js';
import { spawnIdentity, type ServerUser } from './server-user.js';

const run = promisify(execFile);

/** initdb takes about one second; on a machine at its limit, many. */
const INITDB_BOUND_MS = 60_000;

/** PostgreSQL's programs get a clean environment: PGDATA, PGPORT or a LC_MESSAGES of ours would change what they do. */
export const CLEAN_ENVIRONMENT = { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };

export async function initialise(
  options: ProvisionOptions,
  binaries: Binaries,
  user: ServerUser | null,
): Promise<void> {
  const data = dataDirectoryOf(options);
  const passwordFile = join(options.directory, 'password');
  throwIfAborted(options.signal);
  await writeOwned(passwordFile, `${options.superuserPassword}\n`, user);
  const running = run(binaries.initdb, initdbArguments(data, passwordFile), {
    ...spawnIdentity(user),
    cwd: '/',
    env: CLEAN_ENVIRONMENT,
    timeout: INITDB_BOUND_MS,
  });
  // Not execFile's own signal: it settles at once, while initdb and the server it runs are still writing. This way it
  // settles when all that hold its output have ended, so the directory can be removed. Killed, because on SIGTERM initdb
  // ends its current step first; the server it runs ends when its input does.
  const stop = (): boolean => running.child.kill('SIGKILL');
  options.signal?.addEventListener('abort', stop);
  try {
    await running;
  } catch (cause) {
    throwIfAborted(options.signal);
    const { stderr, message } = cause as Error & { stderr?: string };
    const reason = (stderr ?? '').trim() || message;
    const error = new DbproxyError('DBP_ENGINE_INITDB', { reason }, { cause });
    throw await blamingFullDisk(options.directory, error);
  } finally {
    options.signal?.removeEventListener('abort', stop);
    await rm(passwordFile, { force: true });
  }
  await writeOwned(join(data, 'pg_hba.conf'), HBA, user);
  await writeOwned(join(data, CONFIGURATION_FILE), configuration(options.id, options.size), user);
  await appendFile(join(data, 'postgresql.conf'), INCLUDE_CONFIGURATION);
}

/**
 * - 1 MB WAL segments: a promotion copies one segment, and with 16 MB that is most of its time.
 * - No --no-sync: the first start of a cleanly made cluster syncs nothing itself, so initdb must (measured: 50 ms).
 * - The builtin provider sorts and classifies alike on every operating system: engines of different builds may follow
 *   each other without an index going wrong.
 */
function initdbArguments(dataDirectory: string, passwordFile: string): string[] {
  return [
    ...['--pgdata', dataDirectory, '--username', SUPERUSER, '--pwfile', passwordFile],
    ...['--auth=scram-sha-256', '--data-checksums', '--wal-segsize=1', '--no-instructions'],
    ...['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'],
  ];
}

/** A file of the engine, whole or as it was: 0600 and owned by the user it runs as. */
export async function writeOwned(
  path: string,
  content: string | Buffer,
  user: ServerUser | null,
): Promise<void> {
  const next = `${path}.new`;
  try {
    await writeFile(next, content, { mode: 0o600 });
    if (user !== null) await chown(next, user.uid, user.gid);
    await rename(next, path);
  } catch (error) {
    await rm(next, { force: true });
    throw error;
  }
}
