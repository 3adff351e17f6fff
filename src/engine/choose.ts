/** `--provider auto`: containers where a runtime answers, else embedded; and why. */
import { DbproxyError } from '../errors/index.js';
import { providerOf, type ProviderOptions } from './operations.js';
import type { EngineProvider, ProviderKind } from './types.js';

export interface ProviderChoice {
  readonly provider: EngineProvider;
  /** For people: what was chosen and why. */
  readonly reason: string;
}

/** Throws DBP_ENV_DOCKER, DBP_ENV_NO_PROVIDER when what was asked for, or nothing, can run engines here. */
export async function chooseProvider(
  wanted: ProviderKind | 'auto',
  options: ProviderOptions,
): Promise<ProviderChoice> {
  let why = wanted === 'auto' ? '' : 'asked for';
  if (wanted !== 'embedded') {
    const provider = providerOf('docker', options);
    const found = await provider.available();
    if (found.ok) return { provider, reason: `docker (${why || 'auto: it answers'}): ${found.detail}` };
    if (wanted === 'docker') throw new DbproxyError('DBP_ENV_DOCKER', { reason: found.reason });
    why = `auto: no container runtime: ${found.reason}`;
  }
  const provider = providerOf('embedded', options);
  const found = await provider.available();
  if (!found.ok) throw new DbproxyError('DBP_ENV_NO_PROVIDER', { reason: found.reason });
  return { provider, reason: `embedded (${why}): ${found.detail}` };
}
