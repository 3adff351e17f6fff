/**
 * A postmaster that was killed leaves shared memory behind: a System V segment and files in /dev/shm. The next start on its
 * data directory would free them; when the directory is removed instead, nothing ever would.
 */
import { execFile } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { exists } from '../../../exists.js';
import type { Binaries } from './binaries.js';
import { CLEAN_ENVIRONMENT } from './initdb.js';
import { spawnIdentity, type ServerUser } from './server-user.js';

const RELEASE_BOUND_MS = 10_000;

/**
 * `postgres --check` (what initdb tries settings with) takes over the old shared memory as a start does and frees it, but
 * ends before recovery: 50 ms instead of a crash recovery. Best effort: the directory is to be removed in any case.
 * Only to be called when nothing runs on the data directory.
 */
export async function releaseSharedMemory(
  dataDirectory: string,
  binaries: Binaries,
  user: ServerUser | null,
): Promise<void> {
  const lockFile = join(dataDirectory, 'postmaster.pid');
  // A postmaster that ended by itself has removed its lock file, and its shared memory.
  if (!(await exists(lockFile))) return;
  await rm(lockFile, { force: true });
  await promisify(execFile)(binaries.postgres, ['--check', '-D', dataDirectory], {
    ...spawnIdentity(user),
    cwd: '/',
    env: CLEAN_ENVIRONMENT,
    timeout: RELEASE_BOUND_MS,
  }).catch(() => undefined);
}
