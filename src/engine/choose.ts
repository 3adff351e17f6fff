/**
 * Where the engines of a new instance run, and what of. `auto`: containers where a runtime answers and has the image, or can pull
 * it; else embedded; and why.
 */
import { DbproxyError, type ErrorCode } from '../errors/index.js';
import { providerOf, type ProviderOptions } from './operations.js';
import type { EngineProvider, EngineSource, ProviderKind, ProvisionOptions } from './types.js';

export interface ProviderChoice {
  readonly provider: EngineProvider;
  /** The exact version, and for containers the image; both are here. */
  readonly source: EngineSource;
  /** For people: what was chosen and why. */
  readonly reason: string;
}

export interface Wish extends EngineSource, Pick<ProvisionOptions, 'signal' | 'onProgress'> {
  readonly provider: ProviderKind | 'auto';
  /** `image` was asked for now, so nothing but a container will do. */
  readonly needsImage?: boolean;
}

/** Why containers cannot be had, where something else can. */
const OUT_OF_REACH: readonly ErrorCode[] = ['DBP_ENV_DOCKER', 'DBP_ENV_IMAGE'];

/**
 * Throws DBP_ENV_DOCKER, DBP_ENV_IMAGE, DBP_ENV_NO_PROVIDER when what was asked for, or nothing, can run engines here; what
 * `resolve` of the provider throws for a version that there is not.
 */
export async function chooseProvider(wish: Wish, options: ProviderOptions): Promise<ProviderChoice> {
  if (wish.provider === 'docker') return inContainers(wish, options, 'asked for');
  if (wish.provider === 'embedded') return embedded(wish, options, 'asked for');
  try {
    return await inContainers(wish, options, 'auto: it answers');
  } catch (error) {
    const { code, message, details } = DbproxyError.from(error);
    const isMissing = code === 'DBP_ENV_IMAGE';
    if (!OUT_OF_REACH.includes(code) || (isMissing && wish.needsImage === true)) throw error;
    const why = isMissing ? message : `no container runtime: ${String(details['reason'] ?? message)}`;
    return embedded(wish, options, `auto: ${why}`);
  }
}

async function inContainers(wish: Wish, options: ProviderOptions, why: string): Promise<ProviderChoice> {
  const provider = providerOf('docker', options);
  const found = await provider.available();
  if (!found.ok) throw new DbproxyError('DBP_ENV_DOCKER', { reason: found.reason });
  const { postgres, image } = wish;
  const source = await provider.resolve({ postgres, image }, wish);
  return { provider, source, reason: `docker (${why}): ${found.detail}, image ${source.image}` };
}

async function embedded(wish: Wish, options: ProviderOptions, why: string): Promise<ProviderChoice> {
  const provider = providerOf('embedded', options);
  const found = await provider.available();
  if (!found.ok) throw new DbproxyError('DBP_ENV_NO_PROVIDER', { reason: found.reason });
  const source = await provider.resolve({ postgres: wish.postgres }, wish);
  return { provider, source, reason: [`embedded (${why})`, found.detail].filter(Boolean).join(': ') };
}
