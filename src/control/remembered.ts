/**
 * Something that is dear to find out, for those who ask often: they get what was found last, and when that is too old, a new
 * look is taken meanwhile. Only who has nothing to go by waits for it.
 */
export class Remembered<T> {
  readonly #look: () => Promise<T>;
  #last: { readonly value: T; readonly atMs: number } | null = null;
  #looking: Promise<T> | null = null;

  constructor(look: () => Promise<T>) {
    this.#look = look;
  }

  /** With `maxAgeMs` 0 it is looked now. */
  async get(maxAgeMs: number): Promise<T> {
    if (maxAgeMs === 0) return this.#lookNow();
    const age = this.#last ? performance.now() - this.#last.atMs : Infinity;
    const looking = age > maxAgeMs ? (this.#looking ??= this.#lookNow()) : null;
    if (this.#last) {
      looking?.catch(() => undefined);
      return this.#last.value;
    }
    return looking ?? this.#lookNow();
  }

  async #lookNow(): Promise<T> {
    try {
      const value = await this.#look();
      this.#last = { value, atMs: performance.now() };
      return value;
    } finally {
      this.#looking = null;
    }
  }
}
