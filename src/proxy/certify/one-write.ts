/** What is said to one side in one turn goes out in one write, with what is said by those who go on in it when a promise resolves. */
export class OneWrite {
  readonly #write: (bytes: Buffer) => void;
  #pieces: Buffer[] = [];
  #holds = 0;
  readonly #flushAtLast = (): void => this.flush();

  constructor(write: (bytes: Buffer) => void) {
    this.#write = write;
  }

  say(bytes: Buffer): void {
    this.#pieces.push(bytes);
    if (this.#pieces.length === 1) process.nextTick(this.#flushAtLast);
  }

  /** Nothing goes out before it is over. */
  async hold(over: Promise<void>): Promise<void> {
    this.#holds++;
    await over;
    this.#holds--;
    this.flush();
  }

  flush(): void {
    const [first] = this.#pieces;
    if (!first || this.#holds > 0) return;
    const bytes = this.#pieces.length === 1 ? first : Buffer.concat(this.#pieces);
    this.#pieces = [];
    this.#write(bytes);
  }
}
