/**
 * What a session waits for at its writer, and not at its engine: a CancelRequest does not end it there, and meanwhile the locks that
 * the session holds may have to make way.
 */
export class WriterWaits {
  #isWaiting = false;
  /** A read of the client waits, and the engine knows nothing of it yet. */
  #wait: AbortController | null = null;
  /** The client has gone, or the engine: what waits for the writer does not begin any more. */
  isGone = false;

  get isWaiting(): boolean {
    return this.#isWaiting;
  }

  /** Meanwhile its locks may have to make way: perhaps for what is waited for. */
  async until<T>(work: () => Promise<T> | null): Promise<T | null> {
    this.#isWaiting = true;
    try {
      return await work();
    } finally {
      this.#isWaiting = false;
    }
  }

  /** A CancelRequest ends it, as does the end of the client. */
  async cancelable<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const wait = (this.#wait = new AbortController());
    try {
      return (await this.until(() => work(wait.signal))) as T;
    } finally {
      this.#wait = null;
    }
  }

  /** False: nothing that a CancelRequest ends waits here. */
  cancel(): boolean {
    this.#wait?.abort();
    return this.#wait !== null;
  }
}
