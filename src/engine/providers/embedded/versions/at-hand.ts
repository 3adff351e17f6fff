/** The versions that are here: the one that npm installed, and those in the cache. */
import { damageOf, listEntries } from './entry.js';
import { bundledPackage, thisPlatform, type EnginePackage } from './package.js';
import { matches, newestFirst } from './version.js';

/** Newest first; of one version the bundled package comes first. Throws DBP_ENV_NO_PROVIDER for a platform without any. */
export async function packagesAtHand(cache: string): Promise<EnginePackage[]> {
  const bundled = await bundledPackage().then(
    (found) => [found],
    () => [],
  );
  return [...bundled, ...(await listEntries(cache, thisPlatform()))].sort(newestFirst);
}

/** The newest one that is what was asked for and is whole; null when there is none. */
export async function findAtHand(wanted: string, cache: string): Promise<EnginePackage | null> {
  for (const found of await packagesAtHand(cache)) {
    if (!matches(wanted, found.postgres)) continue;
    // npm has checked the integrity of what it installed.
    if (found.source === 'bundled' || (await damageOf(found)) === null) return found;
  }
  return null;
}
