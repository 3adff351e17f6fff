/** Two minors of one major for tests of `patch`: the one that npm installed, and one that is fetched once for this machine. */
import { chmod, mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { ensureEngine } from '../../src/engine/index.js';
import { makeEntry } from '../../src/engine/providers/embedded/versions/make-entry.js';
import { thisPlatform } from '../../src/engine/providers/embedded/versions/package.js';

export const OLDER = '17.9';
export const NEWER = '17.10';
/** Says that it is this version, and does nothing else. */
export const BROKEN = '17.8';

const SHARED = join(tmpdir(), 'dbproxy-test-engines');

/** Both versions are at hand with this cache; with it, that of the home is used by supervisors, too. */
export async function cacheWithBoth(home: string): Promise<string> {
  const cache = join(home, 'cache');
  const { root } = await ensureEngine(OLDER, { cacheDirectory: SHARED });
  await mkdir(cache, { recursive: true });
  await chmod(cache, 0o755);
  await symlink(root, join(cache, basename(root)));
  return cache;
}

/** A package whose server answers `--version`, and ends at once when it is to serve. */
export async function addBroken(cache: string, script = 'exit 1'): Promise<void> {
  const of = { postgres: BROKEN, package: `${BROKEN}.0-beta.1`, platform: thisPlatform() };
  await rm(join(cache, `postgres-${of.package}-${of.platform}`), { recursive: true, force: true });
  await makeEntry(cache, of, async (directory) => {
    await mkdir(join(directory, 'native/bin'), { recursive: true });
    await writeFile(join(directory, 'native/pg-symlinks.json'), '[]');
    const says = `[ "$1" = --version ] && echo "postgres (PostgreSQL) ${BROKEN}" && exit 0`;
    await writeFile(join(directory, 'native/bin/postgres'), `#!/bin/sh\n${says}\n${script}\n`, {
      mode: 0o755,
    });
  });
}
