/** One process fetches a version, the others wait for it. The lock of one that died goes stale and is taken over. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { check, lock } from 'proper-lockfile';
import { DbproxyError } from '../../../../errors/index.js';

const STALE_MS = 5_000;
const RETRY_MS = 100;
/** A slow line: more than half an hour for 30 MB is to be tried again by hand. */
const WAIT_MS = 1_800_000;

const pathOf = (cache: string, name: string): string => join(cache, 'locks', name);

/** Throws DBP_ENGINE_BUSY when somebody else holds it all the time. */
export async function withCacheLock<T>(
  { cache, name, signal, onWait }: { cache: string; name: string; signal?: AbortSignal; onWait: () => void },
  work: () => Promise<T>,
): Promise<T> {
  await mkdir(join(cache, 'locks'), { recursive: true, mode: 0o700 });
  const release = await acquire(pathOf(cache, name), name, signal, onWait);
  try {
    return await work();
  } finally {
    // A lock that was taken over as stale (a suspended machine) is not ours to remove any more.
    await release().catch(() => undefined);
  }
}

export const isLocked = (cache: string, name: string): Promise<boolean> =>
  check(cache, { lockfilePath: pathOf(cache, name), realpath: false, stale: STALE_MS });

async function acquire(
  path: string,
  name: string,
  signal: AbortSignal | undefined,
  onWait: () => void,
): Promise<() => Promise<void>> {
  const deadline = performance.now() + WAIT_MS;
  for (;;) {
    signal?.throwIfAborted();
    try {
      return await lock(path, {
        lockfilePath: path,
        realpath: false,
        stale: STALE_MS,
        update: STALE_MS / 5,
        // Two that fetch at once, after one of them was suspended, would spoil the download, and its integrity says so.
        onCompromised: () => undefined,
      });
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'ELOCKED') throw cause;
      if (performance.now() > deadline) throw new DbproxyError('DBP_ENGINE_BUSY', { name }, { cause });
    }
    onWait();
    await delay(RETRY_MS, undefined, { signal });
  }
}
