/**
 * Where a session stands between its two byte streams: what was asked and not yet answered.
 *
 *   sent, oldest first:   Parse Bind Execute │ Sync │ Query │ CopyData … │ CopyDone │ Sync
 *   answered, in order:   one completion each   Z      Z                              Z
 *
 * Every Query, Sync and FunctionCall is answered by exactly one ReadyForQuery (manual 54.2.2, 54.2.3), with two exceptions. After an
 * error in a batch the engine skips what comes before the next Sync, a Query included: so the messages of batches are counted, too,
 * to know whose error it is. And an engine in COPY IN ignores Sync (commands/copyfromparse.c, CopyGetData), as the one that libpq
 * sends right after Execute. When the copy fails, nobody can see whether it had read a Sync that was on its way: such a one may be
 * answered or not (`MAYBE`), until something else is.
 */
import type { TxStatus } from './codes.js';

/** An Exchange as plain data: what another process needs to go on from there. */
export interface ExchangeImage {
  /** For older builds: of what waits for a ReadyForQuery, 1 for Query and FunctionCall, 0 for Sync. */
  readonly kinds: readonly number[];
  readonly answered: number;
  readonly batchOpen: boolean;
  readonly copyIn: boolean;
  readonly status: TxStatus;
  readonly skipping: boolean;
  /** Of an older build: where each CopyDone was sent that its COPY had not asked for yet. */
  readonly copyEnds?: readonly number[];
  /** Of an older build that does not know them: undefined. */
  readonly items?: readonly number[];
  readonly copying?: boolean;
  readonly said?: boolean;
  readonly inDoubt?: boolean;
}

/** What was sent. A positive number: so many messages of a batch. */
const SYNC = 0;
/** Query, FunctionCall. */
const QUERY = -1;
/** A Sync that is answered only if the COPY that it came within had failed before. */
const MAYBE = -2;
/** CopyData, any number of them. */
const DATA = -3;
/** CopyDone, CopyFail. */
const END = -4;
/** A Sync that was read within a COPY: not answered. */
const IGNORED = -5;

const isWork = (item: number): boolean => item > 0 || item === QUERY;
const isRequest = (item: number): boolean => item === SYNC || item === QUERY;

export class Exchange {
  /** Query, Sync and FunctionCall sent that are answered by a ReadyForQuery, and were not yet. */
  pending = 0;
  /** How many were sent, ever. */
  sent = 0;
  /** Extended-protocol messages were sent since the last Sync. */
  batchOpen = false;
  /** The engine reads COPY data, and its end was not sent. */
  copyIn = false;
  /** Status of the last ReadyForQuery. */
  status: TxStatus = 'I';
  /** A ring; its length is a power of two. */
  #items = new Int32Array(8);
  #oldest = 0;
  #length = 0;
  /** Of the items: MAYBE and IGNORED. */
  #unsure = 0;
  /** A batch failed: what comes before its Sync is not answered. */
  #skipping = false;
  /** The engine reads COPY data. */
  #copying = false;
  /** Something was answered since the last ReadyForQuery, or the error of the last batch. */
  #said = false;
  /** What comes next is an answer to one of two things. */
  #inDoubt = false;

  // --- of the client ----------------------------------------------------------------------------------------------------

  /** Parse, Bind, Describe, Execute or Close was sent. */
  batched(): void {
    this.batchOpen = true;
    this.copyIn = false;
    if (this.#skips) return;
    const last = (this.#oldest + this.#length - 1) & (this.#items.length - 1);
    const count = this.#items[last] ?? 0;
    if (this.#length > 0 && count > 0) this.#items[last] = count + 1;
    else this.#push(1);
  }

  /** Query or FunctionCall was sent. */
  asked(): void {
    this.sent++;
    this.batchOpen = false;
    this.copyIn = false;
    if (this.#skips) return;
    this.#push(QUERY);
    this.pending++;
  }

  /** Sync was sent. */
  synced(): void {
    this.sent++;
    if (this.copyIn) {
      this.#push(MAYBE);
      this.#unsure++;
      return;
    }
    this.batchOpen = false;
    this.#push(SYNC);
    this.pending++;
  }

  /** CopyData was sent. */
  copied(): void {
    if (this.#length > 0 && this.#at(this.#length - 1) !== DATA) this.#push(DATA);
  }

  /** CopyDone or CopyFail was sent. */
  copyEnded(): void {
    if (this.#length > 0) this.#push(END);
    this.copyIn = false;
  }

  // --- of the engine ----------------------------------------------------------------------------------------------------

  /** A message of a batch is answered, or a statement of a Query. */
  completed(): void {
    this.#said = true;
    if (this.#copying) this.#copyCompleted();
    else if (this.#unsure > 0) this.#dropUnsure();
    const count = this.#length > 0 ? this.#at(0) : 0;
    if (count > 1) this.#items[this.#oldest] = count - 1;
    else if (count === 1) this.#shift();
  }

  /** CopyInResponse came: Syncs already sent, up to what ends the copy, will be read as part of it and ignored, if it does not fail. */
  copyInStarted(): void {
    this.#said = true;
    this.#dropUnsure();
    this.#copying = true;
    const isQuery = this.#length > 0 && this.#at(0) === QUERY;
    const end = this.#copyRegion();
    for (let place = this.#copyBegins; place < end; place++) {
      if (this.#at(place) !== SYNC) continue;
      this.#set(place, MAYBE);
      this.#unsure++;
      this.pending--;
    }
    this.copyIn = end === this.#length && !(this.#length > 0 && this.#at(0) > 1);
    if (!isQuery && this.pending === 0) this.batchOpen = true;
  }

  /**
   * ErrorResponse came: the engine has left COPY IN, if it was there. After an error in a batch it skips everything up to the
   * next Sync (manual 54.2.3), a Query in between included.
   */
  failed(): void {
    const isOfBatch = this.#length > 0 ? this.#frontWithoutUnsure() > 0 : this.batchOpen;
    if (this.#copying) this.#copyFailed();
    else this.#dropUnsure();
    this.#said = !isOfBatch;
    if (!isOfBatch) return;
    this.#skipping = true;
    if (this.#length > 0 && this.#at(0) > 0) this.#shift();
    if (this.#length > 0 && this.#at(0) !== MAYBE) this.#skipToSync();
  }

  /** ReadyForQuery came. */
  ready(status: TxStatus): void {
    this.status = status;
    this.#copying = false;
    this.copyIn = false;
    this.#inDoubt = false;
    this.#trim();
    if (this.#said || this.#length === 0 || this.#at(0) !== MAYBE) this.#readyForSure();
    else this.#readyPerhaps();
    this.#said = false;
    this.#skipping = false;
    this.#trim();
  }

  #readyForSure(): void {
    this.#dropUnsure();
    if (this.#skipping) this.#skipToSync();
    while (this.#length > 0 && !isRequest(this.#at(0))) this.#shift();
    if (this.#length > 0) this.#shift();
  }

  /** The oldest one is a MAYBE, and nothing tells whether this answers it, or what is behind all of them. */
  #readyPerhaps(): void {
    let place = 0;
    while (place < this.#length && !isWork(this.#at(place)) && this.#at(place) !== SYNC) place++;
    let sync = place;
    while (sync < this.#length && this.#at(sync) !== SYNC) sync++;
    const isBare = sync === place;
    if (sync < this.#length && isBare) {
      // One of them is answered, and the others are as unsure as it was.
      this.#set(sync, MAYBE);
      this.#unsure++;
      this.pending--;
    } else if (sync < this.#length) this.#inDoubt = this.#skipping;
    this.#shift();
    if (this.pending === 0 && !this.#someWork) this.batchOpen = false;
  }

  // --- what is asked of it ----------------------------------------------------------------------------------------------

  /** How many were sent before the oldest of those that wait, ever. */
  get answered(): number {
    return this.sent - this.pending - this.#unsure;
  }

  /** The engine may answer nothing of what was sent before it has more. */
  get waitsForMore(): boolean {
    return this.copyIn || this.#inDoubt || (this.#skipping && !this.#hasSync);
  }

  /** Everything was answered; in which status, `status` says. What may come yet is ReadyForQuery, and nothing else (`takeLate`). */
  get settled(): boolean {
    return this.pending === 0 && !this.batchOpen && !this.#skipping && !this.#copying;
  }

  /** Settled: how often ReadyForQuery may come yet. It is for the caller from now on. */
  takeLate(): number {
    const late = this.#unsure;
    this.#length = 0;
    this.#unsure = 0;
    return late;
  }

  addLate(late: number): void {
    for (let i = 0; i < late; i++) this.#push(MAYBE);
    this.#unsure += late;
    this.sent += late;
  }

  save(): ExchangeImage {
    const { answered, batchOpen, copyIn, status } = this;
    const items = this.#all;
    const kinds = items.filter(isRequest).map((item) => (item === QUERY ? 1 : 0));
    return {
      ...{ kinds, answered, batchOpen, copyIn, status, items },
      ...{ skipping: this.#skipping, copying: this.#copying, said: this.#said, inDoubt: this.#inDoubt },
    };
  }

  static from(image: ExchangeImage): Exchange {
    const exchange = new Exchange();
    for (const item of image.items ?? itemsOf(image)) {
      exchange.#push(item);
      if (isRequest(item)) exchange.pending++;
      else if (item === MAYBE || item === IGNORED) exchange.#unsure++;
    }
    exchange.sent = image.answered + exchange.pending + exchange.#unsure;
    exchange.batchOpen = image.batchOpen;
    exchange.copyIn = image.copyIn;
    exchange.status = image.status;
    exchange.#skipping = image.skipping;
    exchange.#copying = image.copying ?? image.copyIn;
    exchange.#said = image.said ?? true;
    exchange.#inDoubt = image.inDoubt ?? false;
    return exchange;
  }

  // --- COPY -------------------------------------------------------------------------------------------------------------

  /** The first item behind the one that copies. */
  get #copyBegins(): number {
    return this.#length > 0 && isWork(this.#at(0)) ? 1 : 0;
  }

  /** Where what may be part of the copy ends: at its END, or in front of what can be none. */
  #copyRegion(): number {
    let place = this.#copyBegins;
    while (place < this.#length && this.#at(place) !== END && !isWork(this.#at(place))) place++;
    return place;
  }

  #copyCompleted(): void {
    const begins = this.#copyBegins;
    const end = this.#copyRegion();
    this.#copying = false;
    this.copyIn = false;
    this.#replace((item, place) => {
      if (place < begins || place > end) return item;
      return item === MAYBE ? IGNORED : null;
    });
    this.#trim();
  }

  /**
   * A Sync that it read was followed by something that it read, too: it looks at nothing before it has data. Then the ones behind
   * the last data are answered for sure.
   */
  #copyFailed(): void {
    const begins = this.#copyBegins;
    const end = this.#copyRegion();
    let data = end < this.#length && this.#at(end) === END ? end : end - 1;
    while (data >= begins && this.#at(data) === MAYBE) data--;
    this.#copying = false;
    this.copyIn = false;
    const isBatch = this.#length > 0 && this.#at(0) !== QUERY;
    for (let place = data + 1; place < end; place++) {
      this.#set(place, SYNC);
      this.#unsure--;
      this.pending++;
      if (isBatch && place === this.#length - 1) this.batchOpen = false;
    }
    this.#replace((item, place) =>
      place >= begins && place <= end && !isWork(item) && isData(item) ? null : item,
    );
  }

  // --- items ------------------------------------------------------------------------------------------------------------

  /** What is sent now is skipped. */
  get #skips(): boolean {
    return this.#skipping && this.#length === 0;
  }

  get #hasSync(): boolean {
    for (let place = 0; place < this.#length; place++) if (this.#at(place) === SYNC) return true;
    return false;
  }

  get #someWork(): boolean {
    for (let place = 0; place < this.#length; place++) if (isWork(this.#at(place))) return true;
    return false;
  }

  get #all(): number[] {
    return Array.from({ length: this.#length }, (_, place) => this.#at(place));
  }

  #frontWithoutUnsure(): number {
    let place = 0;
    while (place < this.#length && !isWork(this.#at(place)) && this.#at(place) !== SYNC) place++;
    return place < this.#length ? this.#at(place) : SYNC;
  }

  /** Nothing answers the oldest ones. */
  #trim(): void {
    while (this.#length > 0 && (isData(this.#at(0)) || this.#at(0) === IGNORED)) this.#shift();
  }

  /** Something else was answered: those that may have been were not. */
  #dropUnsure(): void {
    while (this.#length > 0 && !isWork(this.#at(0)) && this.#at(0) !== SYNC) this.#shift();
  }

  #skipToSync(): void {
    while (this.#length > 0 && this.#at(0) !== SYNC) this.#shift();
  }

  /** 0 is the oldest. */
  #at(place: number): number {
    return this.#items[(this.#oldest + place) & (this.#items.length - 1)] ?? 0;
  }

  #set(place: number, item: number): void {
    this.#items[(this.#oldest + place) & (this.#items.length - 1)] = item;
  }

  /** Null: without it. */
  #replace(by: (item: number, place: number) => number | null): void {
    const items = this.#all.map(by);
    this.#length = 0;
    for (const item of items) if (item !== null) this.#push(item);
  }

  #shift(): void {
    const item = this.#at(0);
    if (isRequest(item)) this.pending--;
    else if (item === MAYBE || item === IGNORED) this.#unsure--;
    this.#length--;
    this.#oldest = (this.#oldest + 1) & (this.#items.length - 1);
  }

  #push(item: number): void {
    if (this.#length === this.#items.length) this.#grow();
    this.#set(this.#length++, item);
  }

  #grow(): void {
    const larger = new Int32Array(this.#items.length * 2);
    larger.set(this.#items.subarray(this.#oldest));
    larger.set(this.#items.subarray(0, this.#oldest), this.#items.length - this.#oldest);
    this.#items = larger;
    this.#oldest = 0;
  }
}

const isData = (item: number): boolean => item === DATA || item === END;

/** Of an older build: each CopyDone stands behind so many requests. */
const itemsOf = ({ kinds, copyEnds = [], answered }: ExchangeImage): number[] => {
  const items: number[] = [];
  for (let place = 0; place <= kinds.length; place++) {
    for (const end of copyEnds) if (Math.floor(end / 2) - answered === place) items.push(END);
    const kind = kinds[place];
    if (kind !== undefined) items.push(kind === 1 ? QUERY : SYNC);
  }
  return items;
};
