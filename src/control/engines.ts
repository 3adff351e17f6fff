/** `engine ls|add|rm`: the versions of PostgreSQL on this machine, which instances use them, and what the registry offers. */
import {
  addEngine as add,
  bytesOf,
  findRemains,
  offeredEngines,
  packagesAtHand,
  removeCached,
  type EnginePackage,
  type EnsureOptions,
  type Remains,
} from '../engine/index.js';
import { DbproxyError } from '../errors/index.js';
import { listInstances } from './client.js';
import { engineCache } from './paths.js';

export interface EngineListing {
  readonly postgres: string;
  /** Of the npm package, `17.10.0-beta.17`. */
  readonly package: string;
  readonly source: EnginePackage['source'];
  readonly path: string;
  readonly bytes: number;
  /** Names of instances that have an engine of this version, running or not. */
  readonly usedBy: readonly string[];
}

/** `dbproxy.engines/1` */
export interface EnginesResult {
  readonly schema: 'dbproxy.engines/1';
  readonly cache: string;
  readonly engines: readonly EngineListing[];
  /** Left behind in the cache: downloads that go on when they are asked for again, and what is of no use. */
  readonly remains: readonly Remains[];
  /** What the registry has for this platform; null when it was not asked. */
  readonly available: readonly { postgres: string; package: string; here: boolean }[] | null;
}

/** `dbproxy.engine-add/1` */
export interface EngineAddResult {
  readonly schema: 'dbproxy.engine-add/1';
  readonly postgres: string;
  readonly package: string;
  readonly path: string;
  readonly alreadyHere: boolean;
  readonly bytes: number;
  /** Of the tarball: its size, and how much of it an earlier try had left. */
  readonly fetchedBytes: number;
  readonly resumedBytes: number;
  readonly totalMs: number;
}

/** `dbproxy.engine-rm/1` */
export interface EngineRemoveResult {
  readonly schema: 'dbproxy.engine-rm/1';
  readonly removed: readonly Pick<EngineListing, 'postgres' | 'package' | 'path' | 'bytes'>[];
  readonly freedBytes: number;
}

type Options = Omit<EnsureOptions, 'cacheDirectory'>;

/** Throws DBP_ENV_REGISTRY when it is asked what is available. */
export async function listEngines(
  asked: { available: boolean },
  options: Options = {},
): Promise<EnginesResult> {
  const cache = engineCache();
  const offered = asked.available ? await offeredEngines({ ...options, cacheDirectory: cache }) : null;
  const found = await packagesAtHand(cache);
  const users = await usersByVersion();
  const engines = await Promise.all(
    found.map(async (each) => ({
      ...{ postgres: each.postgres, package: each.package, source: each.source, path: each.root },
      bytes: await bytesOf(each.root),
      usedBy: users.get(each.postgres) ?? [],
    })),
  );
  const here = new Set(engines.map(({ postgres }) => postgres));
  return {
    schema: 'dbproxy.engines/1',
    cache,
    engines,
    remains: await findRemains(cache),
    available:
      offered?.map((each) => ({
        ...{ postgres: each.postgres, package: each.package },
        here: here.has(each.postgres),
      })) ?? null,
  };
}

/** Throws as `ensureEngine`. */
export async function addEngine(version: string, options: Options): Promise<EngineAddResult> {
  const startedAt = performance.now();
  const added = await add(version, { ...options, cacheDirectory: engineCache() });
  return {
    schema: 'dbproxy.engine-add/1',
    postgres: added.postgres,
    package: added.package,
    path: added.root,
    alreadyHere: added.fetched === null,
    bytes: await bytesOf(added.root),
    fetchedBytes: added.fetched?.bytes ?? 0,
    resumedBytes: added.fetched?.resumedBytes ?? 0,
    totalMs: Math.round(performance.now() - startedAt),
  };
}

/** Throws DBP_ENGINE_NOT_CACHED, DBP_ENGINE_IN_USE, DBP_ENV_DIRECTORY. */
export async function removeEngine(version: string): Promise<EngineRemoveResult> {
  const cache = engineCache();
  const doomed = cachedOnes(version, await packagesAtHand(cache));
  const removed: EngineRemoveResult['removed'][number][] = [];
  for (const entry of doomed) {
    const bytes = await removeCached(cache, entry, () => assertUnused(version));
    removed.push({ postgres: entry.postgres, package: entry.package, path: entry.root, bytes });
  }
  const freedBytes = removed.reduce((sum, { bytes }) => sum + bytes, 0);
  return { schema: 'dbproxy.engine-rm/1', removed, freedBytes };
}

function cachedOnes(version: string, found: readonly EnginePackage[]): EnginePackage[] {
  const same = found.filter(({ postgres }) => postgres === version);
  const cached = same.filter(({ source }) => source === 'cached');
  if (cached.length > 0) return cached;
  const names = found.filter(({ source }) => source === 'cached').map(({ postgres }) => postgres);
  const reason = same.length > 0 ? 'it came with dbproxy' : `there is ${names.join(', ') || 'nothing'}`;
  throw new DbproxyError('DBP_ENGINE_NOT_CACHED', { version, reason });
}

async function assertUnused(version: string): Promise<void> {
  const users = (await usersByVersion()).get(version) ?? [];
  if (users.length === 0) return;
  const named = users.map((name) => `instance "${name}"`).join(', ');
  throw new DbproxyError('DBP_ENGINE_IN_USE', { version, users: named });
}

/** A stopped instance counts: its data is of that version. */
async function usersByVersion(): Promise<Map<string, string[]>> {
  const users = new Map<string, string[]>();
  for (const { name, engines } of await listInstances()) {
    for (const postgres of new Set(engines.map((engine) => engine.postgres))) {
      users.set(postgres, [...(users.get(postgres) ?? []), name]);
    }
  }
  return users;
}
