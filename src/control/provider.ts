/** The provider of an instance's engines. Their binaries are in a cache that all instances share. */
import {
  chooseProvider,
  embeddedProvider,
  ensureEngine as ensure,
  type EnginePackage,
  type EnsureOptions,
  type ProviderChoice,
} from '../engine/index.js';
import type { EngineProvider, ProviderKind } from '../engine/types.js';
import { DbproxyError } from '../errors/index.js';
import { engineCache } from './paths.js';

const options = (): { cacheDirectory: string } => ({ cacheDirectory: engineCache() });

/** Throws DBP_ENV_NO_PROVIDER. */
export function createProvider(kind: ProviderKind): EngineProvider {
  if (kind === 'embedded') return embeddedProvider(options());
  throw new DbproxyError('DBP_ENV_NO_PROVIDER', { reason: `the ${kind} provider does not exist yet` });
}

/** For a new instance. Throws DBP_ENV_NO_PROVIDER. */
export function pickProvider(wanted: ProviderKind | 'auto'): Promise<ProviderChoice> {
  return chooseProvider(wanted, options());
}

/**
 * The binaries of `17.9`, or of the newest one at hand for `17`; fetched when they are not here.
 * Throws DBP_USAGE_UNKNOWN_VERSION, DBP_ENV_REGISTRY, DBP_ENGINE_CORRUPT, DBP_ENV_DIRECTORY, DBP_ENV_NO_PROVIDER.
 */
export function ensureEngine(
  version: string,
  { onProgress, signal }: Omit<EnsureOptions, 'cacheDirectory'> = {},
): Promise<EnginePackage> {
  return ensure(version, { ...options(), onProgress, signal });
}
