/** The provider of an instance's engines. Binaries that have to be copied go to a cache that all instances share. */
import { join } from 'node:path';
import { chooseProvider, embeddedProvider, type ProviderChoice } from '../engine/index.js';
import type { EngineProvider, ProviderKind } from '../engine/types.js';
import { DbproxyError } from '../errors/index.js';
import { dbproxyHome } from './paths.js';

const options = (): { cacheDirectory: string } => ({ cacheDirectory: join(dbproxyHome(), 'cache') });

/** Throws DBP_ENV_NO_PROVIDER. */
export function createProvider(kind: ProviderKind): EngineProvider {
  if (kind === 'embedded') return embeddedProvider(options());
  throw new DbproxyError('DBP_ENV_NO_PROVIDER', { reason: `the ${kind} provider does not exist yet` });
}

/** For a new instance. Throws DBP_ENV_NO_PROVIDER, DBP_USAGE_UNKNOWN_VERSION. */
export async function pickProvider(wanted: ProviderKind | 'auto', postgres: string): Promise<ProviderChoice> {
  const choice = await chooseProvider(wanted, options());
  if (choice.versions.some((version) => version === postgres || version.startsWith(`${postgres}.`)))
    return choice;
  throw new DbproxyError('DBP_USAGE_UNKNOWN_VERSION', {
    version: postgres,
    versions: choice.versions.join(', '),
    first: choice.versions[0],
  });
}
