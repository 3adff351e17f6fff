/**
 * Moves sessions back and forth: between two engines, of which one is always the standby of the other; or, for test files that
 * say so (`useInPlace`), on one engine that is stopped and started again with another minor version.
 */
import type { EngineRecord } from '../../src/engine/index.js';
import type { MoveResult } from '../../src/proxy/control-api.js';
import type { MoveLimits } from '../../src/session-state/index.js';
import type { TestEngines } from './engines.js';
import { engineImage } from './provider.js';
import { moveTo, restartUnder, type TestProxy } from './proxies.js';
import { cacheWithBoth, NEWER, OLDER } from './versions.js';

let inPlace = false;

/** From now on, in this test file. */
export const useInPlace = (): void => {
  inPlace = true;
};

export const isInPlace = (): boolean => inPlace;

export class Switching {
  readonly #engines: TestEngines;
  #primary: EngineRecord;
  #standby: EngineRecord | null = null;
  #cache: Promise<string> | null = null;

  constructor(engines: TestEngines, primary: EngineRecord) {
    this.#engines = engines;
    this.#primary = primary;
  }

  get primary(): EngineRecord {
    return this.#primary;
  }

  /** The engine to move to, made when it is first asked for. */
  async target(): Promise<EngineRecord> {
    this.#standby ??= await this.#engines.standbyOf(this.#primary, this.#primary.size);
    return this.#standby;
  }

  /** Another move of all sessions; with a standby, the old engine is removed. */
  async move(
    proxy: TestProxy,
    beforePromotion?: () => Promise<unknown>,
    limits?: MoveLimits,
  ): Promise<MoveResult> {
    if (inPlace) return this.#restart(proxy, beforePromotion, limits);
    const old = this.#primary;
    const target = await this.target();
    const result = await moveTo(proxy, old, target, beforePromotion, limits);
    this.#primary = target;
    this.#standby = null;
    await this.#engines.provider.remove(old);
    return result;
  }

  async #restart(
    proxy: TestProxy,
    beforeStart?: () => Promise<unknown>,
    limits?: MoveLimits,
  ): Promise<MoveResult> {
    const { provider, home } = this.#engines;
    this.#cache ??= cacheWithBoth(home);
    await this.#cache;
    const postgres = this.#primary.postgres === NEWER ? OLDER : NEWER;
    const next = { ...this.#primary, ...versionOf(this.#primary, postgres), process: null };
    await provider.prepare(next);
    return restartUnder(
      proxy,
      async () => {
        await beforeStart?.();
        await provider.stop(this.#primary, 'fast');
        this.#primary = await provider.start(next);
      },
      limits,
    );
  }
}

/** What makes an engine that version: of a container also its image. */
const versionOf = (
  { container }: EngineRecord,
  postgres: string,
): Pick<EngineRecord, 'postgres' | 'container'> => {
  const image = `${engineImage()}:${postgres}`;
  return { postgres, container: container && { ...container, image, imageId: image } };
};
