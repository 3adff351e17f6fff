/** Where an instance's engines come from. Binaries of embedded ones are in a cache that all instances share. */
import { dirname, join } from 'node:path';
import {
  chooseProvider,
  engineOperations,
  providerOf,
  type ProviderChoice,
  type ProviderOptions,
  type Wish,
} from '../engine/index.js';
import type { EngineOperations, EngineProvider, ProviderKind } from '../engine/types.js';
import { DbproxyError } from '../errors/index.js';
import { parseWriterName } from './multiwriter/names.js';
import { engineCache, type InstancePaths } from './paths.js';

type Owner = Pick<InstancePaths, 'name' | 'directory'>;

const optionsOf = ({ name, directory }: Owner): ProviderOptions => ({
  cacheDirectory: engineCache(),
  owner: { name, directory, network: firstWriter({ name, directory }) },
});

/** Of a further writer: a copy of one on another network could not be made. */
function firstWriter({ name, directory }: Owner): Owner | undefined {
  const first = parseWriterName(name)?.instance;
  return first === undefined ? undefined : { name: first, directory: join(dirname(directory), first) };
}

/** All engines of an instance; new ones are of that kind unless they are asked for of another. */
export const createOperations = (kind: ProviderKind, owner: Owner): EngineOperations =>
  engineOperations(kind, optionsOf(owner));

export const createProvider = (kind: ProviderKind, owner: Owner): EngineProvider =>
  providerOf(kind, optionsOf(owner));

/** For a new instance. Throws as `chooseProvider`. */
export const pickProvider = (wish: Wish, owner: Owner): Promise<ProviderChoice> =>
  chooseProvider(wish, optionsOf(owner));

/** Throws DBP_USAGE. */
export function assertNoImage(image: string | undefined): void {
  if (image === undefined) return;
  throw new DbproxyError('DBP_USAGE', {
    reason: `--image ${image} is for containers, and engines are to be embedded here: --provider docker`,
  });
}
