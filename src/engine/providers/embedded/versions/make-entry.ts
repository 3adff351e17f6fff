/**
 * Makes an entry of the cache, whole or not at all: under another name, renamed at the end, when it has run.
 */
import { randomUUID } from 'node:crypto';
import { chmod, mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DbproxyError } from '../../../../errors/index.js';
import { makeParents } from '../../../../make-parents.js';
import { serverUser } from '../server-user.js';
import { abandoned, damageOf, entryName, pick, writeManifest, type Identity } from './entry.js';
import { restoreLinks } from './links.js';
import type { EnginePackage } from './package.js';
import { assertReachable, tryOut } from './try-out.js';

/**
 * `fill` puts the package into the directory that it is given. Of two processes that make the same entry at once, the second
 * one drops its own. Throws DBP_ENV_DIRECTORY when the disk does not let us, DBP_ENV_NO_PROVIDER when the binary does not run,
 * DBP_ENGINE_CORRUPT when it is another version, and what `fill` throws that is not the disk's.
 */
export async function makeEntry(
  cache: string,
  of: Identity,
  fill: (directory: string) => Promise<void>,
): Promise<EnginePackage> {
  const root = join(cache, entryName(of));
  const entry: EnginePackage = { ...pick(of), source: 'cached', root };
  const unfinished = `${root}.${process.pid}.${randomUUID()}`;
  try {
    await usingCache(cache, async () => {
      await makeCache(cache);
      for (const path of await abandoned(root)) await rm(path, { recursive: true, force: true });
      await mkdir(unfinished);
      await fill(unfinished);
      await restoreLinks(unfinished);
      await openToAll(unfinished);
      await prove(unfinished, of);
      await writeManifest(unfinished, of);
      if ((await damageOf(entry)) !== null) await rm(root, { recursive: true, force: true });
      await rename(unfinished, root);
    });
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true });
    const { code } = ((error as Error).cause ?? error) as NodeJS.ErrnoException;
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
  }
  return entry;
}

/** What the file system refuses is an error of the catalogue. */
export async function usingCache<T>(cache: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const { code, syscall, message } = cause as NodeJS.ErrnoException;
    if (code === undefined || syscall === undefined) throw cause;
    throw new DbproxyError('DBP_ENV_DIRECTORY', { directory: cache, reason: message }, { cause });
  }
}

/** The cache is passed through by the user that engines run as; under the supervisor's umask nobody could. */
export async function makeCache(cache: string): Promise<void> {
  if ((await stat(cache).catch(() => null)) !== null) return;
  await makeParents(dirname(cache));
  await mkdir(cache).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  await chmod(cache, 0o755);
}

/** Does it run here, and is it what its package says? */
async function prove(directory: string, { postgres }: Identity): Promise<void> {
  const user = await serverUser();
  await assertReachable(join(directory, 'native/bin/postgres'), user);
  const says = await tryOut(directory, user);
  if (says === postgres) return;
  throw new DbproxyError('DBP_ENGINE_CORRUPT', {
    version: postgres,
    reason: `its binary says that it is ${says}`,
  });
}

/** As `chmod -R a+rX`: under root's umask 077 the package may be readable to root alone, and the copy has its modes. */
async function openToAll(root: string): Promise<void> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => !entry.isSymbolicLink())
    .map(({ parentPath, name }) => join(parentPath, name));
  for (const path of [root, ...paths]) {
    const { mode } = await stat(path);
    await chmod(path, mode | ((mode & 0o100) === 0 ? 0o444 : 0o555));
  }
}
