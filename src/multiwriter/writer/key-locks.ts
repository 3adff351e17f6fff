/**
 * Keys of own transactions that are proposed and not yet committed here. The protocol leaves two transactions of one writer to its
 * engine's locks; where the engine lost those (a backend was killed after its transaction was proposed), and for keys that are
 * coarser than rows, the second one has to wait here.
 */
import type { KeyMode, KeyUse } from '../protocol/index.js';

type Counts = Record<KeyMode, number>;
const EXCLUDES: Readonly<Record<KeyMode, readonly KeyMode[]>> = {
  exclusive: ['exclusive', 'update', 'shared'],
  update: ['exclusive', 'update'],
  shared: ['exclusive'],
};

export class KeyLocks {
  readonly #held = new Map<string, Counts>();

  isFree(keys: readonly KeyUse[]): boolean {
    return keys.every(({ key, mode }) => {
      const held = this.#held.get(key);
      return !held || EXCLUDES[mode].every((other) => held[other] === 0);
    });
  }

  take(keys: readonly KeyUse[]): void {
    for (const { key, mode } of keys) {
      const held = this.#held.get(key) ?? { exclusive: 0, update: 0, shared: 0 };
      held[mode]++;
      this.#held.set(key, held);
    }
  }

  release(keys: readonly KeyUse[]): void {
    for (const { key, mode } of keys) {
      const held = this.#held.get(key);
      if (held && --held[mode] <= 0 && held.exclusive + held.update + held.shared === 0)
        this.#held.delete(key);
    }
  }
}
