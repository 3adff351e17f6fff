/** What the client is told by us: all that is told in one turn goes out at once, before what the engine says next. */
export class ToClient {
  readonly #send: (bytes: Buffer) => void;
  #pieces: Buffer[] = [];
  readonly #flushAtLast = (): void => this.flush();

  constructor(send: (bytes: Buffer) => void) {
    this.#send = send;
  }

  tell(bytes: Buffer): void {
    this.#pieces.push(bytes);
    if (this.#pieces.length === 1) process.nextTick(this.#flushAtLast);
  }

  flush(): void {
    const [first] = this.#pieces;
    if (!first) return;
    const bytes = this.#pieces.length === 1 ? first : Buffer.concat(this.#pieces);
    this.#pieces = [];
    this.#send(bytes);
  }
}
