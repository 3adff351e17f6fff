/**
 * The PostgreSQL binaries of a package, made usable.
 *
 * What npm installed may lack its links (links.ts). And root may have installed it where the unprivileged user that engines
 * run as does not get (`/root` is 0700), or somewhere read-only. In these cases a whole copy is made once in the cache.
 */
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { blockedAt, type ServerUser } from './server-user.js';
import { damageOf, entryName } from './versions/entry.js';
import { restoreLinks } from './versions/links.js';
import { makeEntry } from './versions/make-entry.js';
import type { EnginePackage } from './versions/package.js';
import { assertReachable, tryOut } from './versions/try-out.js';

export interface Binaries {
  /** `17.10`, as the binary itself says. */
  readonly version: string;
  readonly initdb: string;
  readonly postgres: string;
}

/** Repairs or copies the package if needed, and tries it. Throws DBP_ENV_NO_PROVIDER, DBP_ENV_DIRECTORY. */
export async function prepareBinaries(
  cacheDirectory: string,
  user: ServerUser | null,
  found: EnginePackage,
): Promise<Binaries> {
  const root = (await usableInPlace(found.root, user))
    ? found.root
    : await cachedCopy(found, cacheDirectory, user);
  return {
    version: await tryOut(root, user),
    postgres: join(root, 'native/bin/postgres'),
    initdb: join(root, 'native/bin/initdb'),
  };
}

async function usableInPlace(root: string, user: ServerUser | null): Promise<boolean> {
  if ((await blockedAt(join(root, 'native/bin/postgres'), user)) !== null) return false;
  try {
    await restoreLinks(root);
    return true;
  } catch (error) {
    if (['EACCES', 'EPERM', 'EROFS'].includes((error as NodeJS.ErrnoException).code ?? '')) return false;
    throw error;
  }
}

async function cachedCopy(
  found: EnginePackage,
  cacheDirectory: string,
  user: ServerUser | null,
): Promise<string> {
  const copy = join(cacheDirectory, entryName(found));
  if ((await damageOf({ root: copy })) !== null) {
    await makeEntry(cacheDirectory, found, (directory) =>
      cp(found.root, directory, { recursive: true, verbatimSymlinks: true }),
    );
  }
  await assertReachable(join(copy, 'native/bin/postgres'), user);
  return copy;
}
