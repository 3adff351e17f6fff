/**
 * Where a session stands between its two byte streams: what was asked and not yet answered.
 *
 * Every Query, Sync and FunctionCall is answered by exactly one ReadyForQuery (manual 54.2.2, 54.2.3), with one exception:
 * an engine in COPY IN ignores Sync (commands/copyfromparse.c, CopyGetData), so the Sync that libpq sends right after
 * Execute is never answered, and the one after CopyDone is. A client that pipelines has sent its CopyDone, and more behind it, before
 * the engine says that it reads COPY data.
 */
import type { TxStatus } from './codes.js';

/** An Exchange as plain data: what another process needs to go on from there. */
export interface ExchangeImage {
  readonly kinds: readonly number[];
  readonly answered: number;
  readonly batchOpen: boolean;
  readonly copyIn: boolean;
  readonly status: TxStatus;
  readonly skipping: boolean;
  /** Of an older build that does not know them: undefined. */
  readonly copyEnds?: readonly number[];
}

export class Exchange {
  /** Query, Sync and FunctionCall sent without their ReadyForQuery. */
  pending = 0;
  /** How many were sent before the oldest of them, ever. */
  answered = 0;
  /** Extended-protocol messages were sent since the last Sync. */
  batchOpen = false;
  /** The engine reads COPY data. */
  copyIn = false;
  /** Status of the last ReadyForQuery. */
  status: TxStatus = 'I';
  /** For each pending one, oldest first: 1 for Query and FunctionCall, 0 for Sync. A ring; its length is a power of two. */
  #kinds = new Uint8Array(8);
  #oldest = 0;
  /** A batch failed: what comes before its Sync is not answered. */
  #skipping = false;
  /** CopyDone and CopyFail that were sent before the engine was in COPY IN, oldest first: where (`#place`). */
  #copyEnds: number[] = [];

  /** Query or FunctionCall was sent. */
  asked(): void {
    this.#push(1);
    this.batchOpen = false;
  }

  /** Sync was sent. */
  synced(): void {
    if (this.copyIn) return;
    this.#push(0);
    this.batchOpen = false;
  }

  /** CopyDone or CopyFail was sent. */
  copyEnded(): void {
    if (!this.copyIn && !this.settled) this.#copyEnds.push(this.#place(this.sent, this.batchOpen));
    this.copyIn = false;
  }

  /** CopyInResponse came: Syncs already sent, up to what ends the copy, will be read as part of it and ignored. */
  copyInStarted(): void {
    const isQuery = this.pending > 0 && this.#kinds[this.#oldest] === 1;
    const begins = isQuery ? this.#place(this.answered + 1, false) : this.#place(this.answered, true);
    const end = this.#copyEnds.findIndex((place) => place >= begins);
    const [endsAt] = end < 0 ? [] : this.#copyEnds.splice(end, 1);
    this.copyIn = endsAt === undefined;
    if (isQuery) return;
    const ignored = endsAt === undefined ? this.pending : Math.floor(endsAt / 2) - this.answered;
    for (let i = 0; i < ignored; i++) this.#shift();
    if (this.pending === 0) this.batchOpen = true;
  }

  /** In the stream of a client: behind so many requests, and there in front of, or within, a batch. */
  #place(requests: number, inBatch: boolean): number {
    return 2 * requests + (inBatch ? 1 : 0);
  }

  /**
   * ErrorResponse came: the engine has left COPY IN, if it was there. After an error in a batch it skips everything up to the
   * next Sync (manual 54.2.3), a Query in between included.
   */
  failed(): void {
    this.copyIn = false;
    if (this.pending === 0 || this.#kinds[this.#oldest] === 0) this.#skipping = true;
  }

  /** ReadyForQuery came. */
  ready(status: TxStatus): void {
    this.status = status;
    this.copyIn = false;
    if (this.#skipping) {
      while (this.pending > 1 && this.#kinds[this.#oldest] === 1) this.#shift();
      this.#skipping = false;
    }
    if (this.pending > 0) this.#shift();
    if (this.#copyEnds.length > 0)
      this.#copyEnds = this.#copyEnds.filter((place) => place > this.#place(this.answered, false));
  }

  /** The engine may answer nothing of what was sent before it has more. */
  get waitsForMore(): boolean {
    return this.copyIn || (this.#skipping && !this.#hasSync);
  }

  get #hasSync(): boolean {
    for (let place = 0; place < this.pending; place++) if (this.#kindAt(place) === 0) return true;
    return false;
  }

  /** How many were sent, ever. */
  get sent(): number {
    return this.answered + this.pending;
  }

  save(): ExchangeImage {
    const { answered, batchOpen, copyIn, status } = this;
    const kinds = Array.from({ length: this.pending }, (_, i) => this.#kindAt(i));
    const copyEnds = [...this.#copyEnds];
    return { kinds, answered, batchOpen, copyIn, status, skipping: this.#skipping, copyEnds };
  }

  static from(image: ExchangeImage): Exchange {
    const exchange = new Exchange();
    for (const kind of image.kinds) exchange.#push(kind);
    exchange.answered = image.answered;
    exchange.batchOpen = image.batchOpen;
    exchange.copyIn = image.copyIn;
    exchange.status = image.status;
    exchange.#skipping = image.skipping;
    exchange.#copyEnds = [...(image.copyEnds ?? [])];
    return exchange;
  }

  /** Of the pending one at `place`; 0 is the oldest. */
  #kindAt(place: number): number {
    return this.#kinds[(this.#oldest + place) & (this.#kinds.length - 1)] ?? 0;
  }

  #shift(): void {
    this.pending--;
    this.answered++;
    this.#oldest = (this.#oldest + 1) & (this.#kinds.length - 1);
  }

  #push(kind: number): void {
    if (this.pending === this.#kinds.length) this.#grow();
    this.#kinds[(this.#oldest + this.pending) & (this.#kinds.length - 1)] = kind;
    this.pending++;
  }

  #grow(): void {
    const larger = new Uint8Array(this.#kinds.length * 2);
    larger.set(this.#kinds.subarray(this.#oldest));
    larger.set(this.#kinds.subarray(0, this.#oldest), this.#kinds.length - this.#oldest);
    this.#kinds = larger;
    this.#oldest = 0;
  }

  /** Everything was answered; in which status, `status` says. */
  get settled(): boolean {
    return this.pending === 0 && !this.batchOpen;
  }
}
