/** Work of two kinds: `beside` others of its kind, or `alone`. Who asks for `alone` waits only for what has begun. */
export class Turns {
  readonly #beside = new Set<Promise<unknown>>();
  #alone: Promise<unknown> = Promise.resolve();

  async beside<T>(work: () => Promise<T>): Promise<T> {
    for (let before: unknown = null; before !== this.#alone;) {
      before = this.#alone;
      await this.#alone;
    }
    const run = work();
    const done = run.catch(() => undefined).finally(() => this.#beside.delete(done));
    this.#beside.add(done);
    return run;
  }

  alone<T>(work: () => Promise<T>): Promise<T> {
    const run = Promise.all([this.#alone, ...this.#beside]).then(work);
    this.#alone = run.catch(() => undefined);
    return run;
  }
}
