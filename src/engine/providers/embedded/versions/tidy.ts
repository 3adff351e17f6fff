/** What is in the cache and should not be: downloads that were broken off, entries that are damaged or were never finished. */
import { randomUUID } from 'node:crypto';
import { readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { DbproxyError } from '../../../../errors/index.js';
import { processesFrom } from '../find.js';
import { isLocked, withCacheLock } from './cache-lock.js';
import { abandoned, bytesOf, damageOf, entryName, entryRoots } from './entry.js';
import { usingCache } from './make-entry.js';
import type { EnginePackage } from './package.js';

export interface Remains {
  /** A download goes on where it was broken off; the others are of no use. */
  readonly kind: 'download' | 'unfinished' | 'damaged';
  readonly path: string;
  readonly bytes: number;
  /** What is wrong, for people. */
  readonly detail: string;
}

/** Nothing of it belongs to a process that is at work now. `thorough` reads every file. */
export async function findRemains(cache: string, { thorough = false } = {}): Promise<Remains[]> {
  const roots = await entryRoots(cache);
  const damaged = await Promise.all(roots.map((root) => damagedEntry(root, thorough)));
  return [...(await brokenOff(cache)), ...(await unfinishedEntries(cache)), ...damaged.flat()];
}

export async function removeRemains({ path }: Remains): Promise<void> {
  await rm(path, { recursive: true, force: true });
}

/**
 * Removes an entry; the bytes that it had. `assertUnused` is asked while nobody can add it. Whatever the records say, what runs
 * from it keeps it: an engine that is just being made is in no record yet. Throws DBP_ENGINE_IN_USE.
 */
export async function removeCached(
  cache: string,
  entry: EnginePackage,
  assertUnused: () => Promise<void>,
): Promise<number> {
  return usingCache(cache, () =>
    withCacheLock({ cache, name: entryName(entry), onWait: () => undefined }, async () => {
      await assertUnused();
      const [pid] = processesFrom(entry.root);
      if (pid !== undefined) {
        const details = { version: entry.postgres, users: `process ${pid}` };
        throw new DbproxyError('DBP_ENGINE_IN_USE', details);
      }
      const bytes = await bytesOf(entry.root);
      // Gone at once; who dies in the middle of the rest leaves what the next one takes for abandoned.
      const doomed = `${entry.root}.${process.pid}.${randomUUID()}`;
      await rename(entry.root, doomed);
      await rm(doomed, { recursive: true, force: true });
      return bytes;
    }),
  );
}

async function brokenOff(cache: string): Promise<Remains[]> {
  const directory = join(cache, 'downloads');
  const found: Remains[] = [];
  for (const name of await readdir(directory).catch(() => [])) {
    const [, entry] = /^(.+)\.[0-9a-f]{16}\.part$/.exec(name) ?? [];
    if (entry === undefined || (await isLocked(cache, entry))) continue;
    const path = join(directory, name);
    const bytes = (await stat(path).catch(() => null))?.size ?? 0;
    found.push({ kind: 'download', path, bytes, detail: `the download of ${entry} was broken off` });
  }
  return found;
}

async function unfinishedEntries(cache: string): Promise<Remains[]> {
  const names = await readdir(cache).catch(() => []);
  const made = new Set(names.flatMap((name) => /^(postgres-.+)\.\d+\.[0-9a-f-]{36}$/.exec(name)?.[1] ?? []));
  const left = await Promise.all([...made].map((name) => abandoned(join(cache, name))));
  return Promise.all(
    left.flat().map(async (path) => ({
      ...{ kind: 'unfinished' as const, path, bytes: await bytesOf(path) },
      detail: `${basename(path)} was never finished`,
    })),
  );
}

async function damagedEntry(root: string, thorough: boolean): Promise<Remains[]> {
  const damage = await damageOf({ root }, { thorough });
  if (damage === null) return [];
  return [
    { kind: 'damaged', path: root, bytes: await bytesOf(root), detail: `${basename(root)}: ${damage}` },
  ];
}
