/** Two minors of one major for tests of `patch`: the one that npm installed, and one that is fetched once for this machine. */
import { chmod, mkdir, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { ensureEngine } from '../../src/engine/index.js';

export const OLDER = '17.9';
export const NEWER = '17.10';

export const SHARED_CACHE = join(tmpdir(), 'dbproxy-test-engines');

/** Both versions are at hand with this cache; with it, that of the home is used by supervisors, too. */
export async function cacheWithBoth(home: string): Promise<string> {
  const cache = join(home, 'cache');
  const { root } = await ensureEngine(OLDER, { cacheDirectory: SHARED_CACHE });
  await mkdir(cache, { recursive: true });
  await chmod(cache, 0o755);
  await symlink(root, join(cache, basename(root)));
  return cache;
}
