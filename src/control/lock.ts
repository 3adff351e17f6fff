/** One at a time: whoever starts or stops an instance holds its lock. A dead holder's lock goes stale and is taken over. */
import { dirname } from 'node:path';
import { lock } from 'proper-lockfile';
import { DbproxyError } from '../errors/index.js';
import { diskFull, isNoRoom } from '../errors/no-room.js';
import { makeDirectory } from './instance-directory.js';
import type { InstancePaths } from './paths.js';

const STALE_MS = 5_000;
/** How long to wait for the other one. It holds the lock for as long as `down` takes, at most. */
const WAIT_MS = 90_000;
const RETRY_MS = 50;

/** Throws DBP_INSTANCE_BUSY when somebody else holds the lock all the time, DBP_ENV_DISK_FULL, DBP_ENV_DIRECTORY. */
export async function withInstanceLock<T>(paths: InstancePaths, work: () => Promise<T>): Promise<T> {
  await makeDirectory(dirname(paths.lockDirectory), 0o700);
  return whileHeld(await acquire(paths), work);
}

/** Does nothing when somebody else holds the lock. */
export async function withInstanceLockIfFree(paths: InstancePaths, work: () => Promise<void>): Promise<void> {
  const release = await acquire(paths, 0).catch(() => null);
  if (release) await whileHeld(release, work);
}

async function whileHeld<T>(release: () => Promise<void>, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } finally {
    // A lock that was taken over as stale (a suspended machine) is not ours to remove any more.
    await release().catch(() => undefined);
  }
}

async function acquire(paths: InstancePaths, waitMs = WAIT_MS): Promise<() => Promise<void>> {
  try {
    return await lock(paths.lockDirectory, {
      lockfilePath: paths.lockDirectory,
      realpath: false,
      stale: STALE_MS,
      update: STALE_MS / 5,
      retries: { retries: waitMs / RETRY_MS, factor: 1, minTimeout: RETRY_MS, maxTimeout: RETRY_MS },
      onCompromised: () => undefined,
    });
  } catch (cause) {
    if (isNoRoom(cause)) throw diskFull(dirname(paths.lockDirectory), cause);
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new DbproxyError(
      'DBP_INSTANCE_BUSY',
      { operation: 'up or down', id: paths.name, progress: reason },
      { cause },
    );
  }
}
