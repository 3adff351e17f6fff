/**
 * Where the engines of tests, benchmarks and torture run: `DBPROXY_PROVIDER`, as for users; without it embedded (vitest.config.ts).
 * `npm run test:docker` is a run with all of it on containers.
 */
import type { ProviderKind } from '../../src/engine/index.js';
import { hasDocker, IMAGE } from './docker/index.js';

export const engineKind = (): ProviderKind =>
  process.env.DBPROXY_PROVIDER === 'docker' ? 'docker' : 'embedded';

/** Of containers: what was asked for, else the image of the tests, else the official one. */
export const engineImage = (): string => process.env.DBPROXY_IMAGE ?? (hasDocker ? IMAGE : 'postgres');

/** `--provider` of a command: for this process and those that it starts. */
export function useProvider(kind: string): void {
  if (kind !== 'embedded' && kind !== 'docker')
    throw new Error(`--provider is embedded or docker, not ${kind}`);
  process.env.DBPROXY_PROVIDER = kind;
  if (kind === 'docker') process.env.DBPROXY_IMAGE = engineImage();
}
