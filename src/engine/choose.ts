/** `--provider auto`: which provider engines come from, and why. */
import { DbproxyError } from '../errors/index.js';
import { embeddedProvider, type EmbeddedOptions } from './providers/embedded/index.js';
import type { EngineProvider, ProviderKind } from './types.js';

export interface ProviderChoice {
  readonly provider: EngineProvider;
  /** For people: what was chosen and why. */
  readonly reason: string;
}

/** Throws DBP_ENV_NO_PROVIDER when none can run engines here. */
export async function chooseProvider(
  wanted: ProviderKind | 'auto',
  options: EmbeddedOptions,
): Promise<ProviderChoice> {
  if (wanted === 'docker') {
    throw new DbproxyError('DBP_ENV_NO_PROVIDER', { reason: 'the docker provider does not exist yet' });
  }
  const provider = embeddedProvider(options);
  const available = await provider.available();
  if (!available.ok) throw new DbproxyError('DBP_ENV_NO_PROVIDER', { reason: available.reason });
  const why = wanted === 'embedded' ? 'asked for' : 'auto: the docker provider does not exist yet';
  return { provider, reason: `embedded (${why}): ${available.detail}` };
}
