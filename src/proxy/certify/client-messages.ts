/** A client's bytes as whole messages, each a buffer of its own. The lengths were checked by whoever followed the stream before. */
const EMPTY = Buffer.alloc(0);

export class ClientMessages {
  #pieces: Buffer[] = [];
  #bytes = 0;
  /** What the next message takes, header included, as far as that is known. */
  #wanted = 5;

  push(chunk: Uint8Array, take: (message: Buffer) => void): void {
    this.#pieces.push(Buffer.from(chunk));
    this.#bytes += chunk.length;
    if (this.#bytes < this.#wanted) return;
    let rest = this.#pieces.length === 1 ? (this.#pieces[0] ?? EMPTY) : Buffer.concat(this.#pieces);
    for (;;) {
      this.#wanted = rest.length < 5 ? 5 : 1 + rest.readInt32BE(1);
      if (rest.length < this.#wanted) break;
      take(rest.subarray(0, this.#wanted));
      rest = rest.subarray(this.#wanted);
    }
    this.#pieces = rest.length > 0 ? [rest] : [];
    this.#bytes = rest.length;
  }

  get atBoundary(): boolean {
    return this.#bytes === 0;
  }
}
