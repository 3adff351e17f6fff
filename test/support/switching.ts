/** Two engines, of which one is always the standby of the other: sessions can be moved back and forth. */
import type { EngineRecord } from '../../src/engine/index.js';
import type { MoveResult } from '../../src/proxy/control-api.js';
import type { TestEngines } from './engines.js';
import { moveTo, type TestProxy } from './proxies.js';

export class Switching {
  readonly #engines: TestEngines;
  #primary: EngineRecord;
  #standby: EngineRecord | null = null;

  constructor(engines: TestEngines, primary: EngineRecord) {
    this.#engines = engines;
    this.#primary = primary;
  }

  get primary(): EngineRecord {
    return this.#primary;
  }

  /** The engine to move to, made when it is first asked for. */
  async target(): Promise<EngineRecord> {
    this.#standby ??= await this.#engines.standbyOf(this.#primary);
    return this.#standby;
  }

  /** Another move of all sessions; the old engine is removed. */
  async move(proxy: TestProxy, beforePromotion?: () => Promise<unknown>): Promise<MoveResult> {
    const old = this.#primary;
    const target = await this.target();
    const result = await moveTo(proxy, old, target, beforePromotion);
    this.#primary = target;
    this.#standby = null;
    await this.#engines.provider.remove(old);
    return result;
  }
}
