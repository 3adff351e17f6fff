/** The directories of one engine, made so that exactly the user it runs as can use them. */
import { spawn } from 'node:child_process';
import { chmod, chown, mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DbproxyError } from '../../../errors/index.js';
import { makeParents } from '../../../make-parents.js';
import type { ProvisionOptions } from '../../types.js';
import { MAX_SOCKET_PATH_BYTES, socketPath } from '../../socket-path.js';
import { blockedAt, type ServerUser } from './server-user.js';
import { giveWay } from './yield-processor.js';

export const dataDirectoryOf = (engine: { readonly directory: string }): string =>
  join(engine.directory, 'data');
export const logFileOf = (engine: { readonly directory: string }): string =>
  join(engine.directory, 'engine.log');

type Directories = Pick<ProvisionOptions, 'directory' | 'socketDirectory'>;

/**
 * Makes the engine's directories, 0700. Neither may exist with anything of somebody else's in it: the engine's own must be new.
 * Throws DBP_ENV_DIRECTORY.
 */
export async function makeDirectories(options: Directories, user: ServerUser | null): Promise<void> {
  checkSocketPath(options.socketDirectory);
  await makeDirectory(options.directory, user, 'new');
  try {
    await makeDirectory(options.socketDirectory, user, 'may exist');
  } catch (error) {
    await removeDirectories(options);
    throw error;
  }
}

/**
 * About a thousand files: one after the other by a process of low priority, because the file system's journal is busy with
 * each, and the commits of the engine that goes on wait for that same journal.
 */
export async function removeDirectories({ directory, socketDirectory }: Directories): Promise<void> {
  const child = spawn('rm', ['-rf', '--', directory, socketDirectory], {
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  });
  giveWay(child.pid);
  let complaints = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complaints += text.slice(0, 1_000)));
  const code = await new Promise<number | null>((resolve, reject) =>
    child.once('error', reject).once('close', resolve),
  );
  if (code !== 0) throw new Error(`rm ended with ${code ?? 'a signal'}: ${complaints.trim()}`);
}

/** The kernel refuses longer paths, and PostgreSQL's own message for it comes late and in the log only. */
function checkSocketPath(directory: string): void {
  const bytes = Buffer.byteLength(socketPath(directory));
  if (bytes <= MAX_SOCKET_PATH_BYTES) return;
  const reason = `the path of a socket in it is ${bytes} bytes long, at most ${MAX_SOCKET_PATH_BYTES} are possible`;
  throw new DbproxyError('DBP_ENV_DIRECTORY', { directory, reason });
}

async function makeDirectory(
  directory: string,
  user: ServerUser | null,
  existing: 'new' | 'may exist',
): Promise<void> {
  try {
    await makeParents(dirname(directory));
    await mkdir(directory, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST' || existing === 'new') throw error;
    });
    await chmod(directory, 0o700);
    if (user !== null) await chown(directory, user.uid, user.gid);
  } catch (cause) {
    throw new DbproxyError('DBP_ENV_DIRECTORY', { directory, reason: (cause as Error).message }, { cause });
  }
  const blocked = await blockedAt(directory, user);
  if (blocked === null) return;
  await rm(directory, { recursive: true, force: true });
  const reason = `the user ${user?.name ?? ''} that engines run as may not pass ${blocked}`;
  throw new DbproxyError('DBP_ENV_DIRECTORY', { directory, reason });
}
