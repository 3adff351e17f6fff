/**
 * Follows the byte stream of a client, whatever its pieces, without copying it: counts what asks for a ReadyForQuery, knows
 * the message boundaries, and shows Parse, Query and Close messages to an observer. The data path calls `scan` once for
 * every chunk it forwards.
 */
import { Frontend } from './codes.js';
import type { Exchange } from './exchange.js';
import { MAX_LARGE_MESSAGE_BYTES, MAX_OBSERVED_MESSAGE_BYTES, MAX_SMALL_MESSAGE_BYTES } from './limits.js';
import { ProtocolViolation } from './violation.js';

/** Looks at whole messages; `start` is the type byte, `end` the byte after the message. The buffer is only lent. */
export interface ClientObserver {
  parse(buffer: Buffer, start: number, end: number): void;
  /** `request`: which of all that ask for a ReadyForQuery it is, from 0. */
  query(buffer: Buffer, start: number, end: number, request: number): void;
  close(buffer: Buffer, start: number, end: number): void;
  /** Called for Bind messages while `bindWanted`. `request`: the Sync that will end its batch, counted as above. */
  bind(buffer: Buffer, start: number, end: number, request: number): void;
  readonly bindWanted: boolean;
  /** A Parse, Query or Close too long to be shown (more than MAX_OBSERVED_MESSAGE_BYTES). */
  tooLong(type: number): void;
}

/** Where a stream stands, as plain data: what another process needs to follow it from there. */
export interface StreamImage {
  /** Type of the current message, or of the last one. */
  readonly type: number;
  /** Body bytes of the current message that are still to come. */
  readonly need: number;
  /** Bytes of an incomplete header. */
  readonly header: Buffer;
  /** What was kept of a message that is wanted whole; null: nothing is kept. */
  readonly kept: Buffer | null;
}

export interface ClientStreamImage extends StreamImage {
  readonly terminated: boolean;
}

const { Bind, Close, CopyData, CopyDone, CopyFail, Describe, Execute } = Frontend;
const { Flush, FunctionCall, Parse, Query, Sync, Terminate } = Frontend;

/** What a type means to us, as bits, so that the hot path looks once into a table. 0: no type of a client. */
const SMALL = 1;
const LARGE = 2;
/** The observer wants to see it. */
const SHOWN = 4;
/** Asks for a ReadyForQuery. */
const REQUEST = 8;
/** Leaves a batch open until the next Sync. */
const IN_BATCH = 16;
/** Needs a closer look when it is complete. */
const OTHER = 32;

/** Bounds of the length field are PostgreSQL's (tcop/postgres.c, SocketBackend). */
const TRAITS = new Uint8Array(256);
TRAITS[Query] = LARGE | SHOWN | REQUEST;
TRAITS[FunctionCall] = LARGE | REQUEST;
TRAITS[Sync] = SMALL | REQUEST;
TRAITS[Parse] = LARGE | SHOWN | IN_BATCH;
TRAITS[Bind] = LARGE | SHOWN | IN_BATCH;
TRAITS[Close] = SMALL | SHOWN | IN_BATCH;
TRAITS[Describe] = SMALL | IN_BATCH;
TRAITS[Execute] = SMALL | IN_BATCH;
TRAITS[CopyData] = LARGE | OTHER;
for (const type of [Flush, CopyDone, CopyFail, Terminate]) TRAITS[type] = SMALL | OTHER;

export class ClientStream {
  readonly #exchange: Exchange;
  readonly #observer: ClientObserver;
  /** Body bytes of the current message that are still to come. */
  #need = 0;
  #type = 0;
  /** Bytes of an incomplete header (type and length). */
  readonly #header = Buffer.alloc(5);
  #headerBytes = 0;
  /** Pieces of a message that the observer wants whole. */
  #pieces: Buffer[] | null = null;
  /** The client has sent Terminate. */
  terminated = false;

  constructor(exchange: Exchange, observer: ClientObserver) {
    this.#exchange = exchange;
    this.#observer = observer;
  }

  /** No message is cut off at this point of the stream. */
  get atBoundary(): boolean {
    return this.#need === 0 && this.#headerBytes === 0;
  }

  /**
   * Follows `buffer[start, end)` and returns up to where: `end`, or with `oneRequest` the end of the first Query, Sync or
   * FunctionCall. Throws ProtocolViolation on an unknown type or a length out of bounds, before the observer sees it.
   */
  scan(buffer: Buffer, start: number, end: number, oneRequest: boolean): number {
    let at = start;
    while (at < end) {
      if (this.#need > 0) {
        at = this.#continue(buffer, at, end);
        if (this.#need > 0) return end;
      } else if (this.#headerBytes > 0 || end - at < 5) {
        while (this.#headerBytes < 5 && at < end) this.#header[this.#headerBytes++] = buffer[at++] ?? 0;
        if (this.#headerBytes < 5) return end;
        this.#headerBytes = 0;
        this.#begin(this.#header, 0, this.#check(this.#header, 0));
        if (this.#need > 0) continue;
      } else {
        const length = this.#check(buffer, at);
        if (length >= end - at) {
          this.#begin(buffer, at, length);
          at += 5;
          continue;
        }
        if (((TRAITS[this.#type] ?? 0) & SHOWN) !== 0) this.#show(buffer, at, at + 1 + length);
        at += 1 + length;
      }
      if (this.#finish() && oneRequest) return at;
    }
    return end;
  }

  save(): ClientStreamImage {
    return {
      type: this.#type,
      need: this.#need,
      header: Buffer.from(this.#header.subarray(0, this.#headerBytes)),
      kept: this.#pieces && Buffer.concat(this.#pieces),
      terminated: this.terminated,
    };
  }

  /** Goes on where the stream of the image stood. */
  restore({ type, need, header, kept, terminated }: ClientStreamImage): void {
    this.#type = type;
    this.#need = need;
    this.#headerBytes = header.copy(this.#header);
    this.#pieces = kept && [kept];
    this.terminated = terminated;
  }

  /** Reads a header and checks its bounds; returns the length field. */
  #check(buffer: Buffer, at: number): number {
    const type = buffer[at] ?? 0;
    const length = buffer.readInt32BE(at + 1);
    const traits = TRAITS[type] ?? 0;
    if (traits === 0) throw new ProtocolViolation(`invalid frontend message type ${type}`);
    if (length < 4 || length > ((traits & LARGE) === 0 ? MAX_SMALL_MESSAGE_BYTES : MAX_LARGE_MESSAGE_BYTES)) {
      throw new ProtocolViolation('invalid message length');
    }
    this.#type = type;
    return length;
  }

  /** A message that has not all come, or whose header has come in pieces. */
  #begin(buffer: Buffer, at: number, length: number): void {
    this.#need = length - 4;
    if (!this.#observed) return;
    if (this.#need > MAX_OBSERVED_MESSAGE_BYTES) this.#observer.tooLong(this.#type);
    else this.#pieces = [Buffer.from(buffer.subarray(at, at + 5))];
    if (this.#need === 0) this.#showPieces();
  }

  /** More of the body; returns up to where. */
  #continue(buffer: Buffer, at: number, end: number): number {
    const taken = Math.min(this.#need, end - at);
    if (this.#pieces) this.#pieces.push(Buffer.from(buffer.subarray(at, at + taken)));
    this.#need -= taken;
    if (this.#need === 0 && this.#pieces) this.#showPieces();
    return at + taken;
  }

  /** A message is complete. True when it asks for a ReadyForQuery. */
  #finish(): boolean {
    const exchange = this.#exchange;
    const traits = TRAITS[this.#type] ?? 0;
    if ((traits & IN_BATCH) !== 0) exchange.batched();
    else if ((traits & REQUEST) !== 0) {
      if (this.#type === Sync) exchange.synced();
      else exchange.asked();
      return true;
    } else if ((traits & OTHER) !== 0) this.#finishOther();
    return false;
  }

  #finishOther(): void {
    if (this.#type === CopyData) this.#exchange.copied();
    else if (this.#type === Terminate) this.terminated = true;
    else if (this.#type === CopyDone || this.#type === CopyFail) this.#exchange.copyEnded();
    else if (this.#type === Flush && !this.#exchange.copyIn) this.#exchange.batchOpen = true;
  }

  get #observed(): boolean {
    if (this.#type === Bind) return this.#observer.bindWanted;
    return ((TRAITS[this.#type] ?? 0) & SHOWN) !== 0;
  }

  #show(buffer: Buffer, start: number, end: number): void {
    if (this.#type === Query) this.#observer.query(buffer, start, end, this.#exchange.sent);
    else if (this.#type === Parse) this.#observer.parse(buffer, start, end);
    else if (this.#type === Close) this.#observer.close(buffer, start, end);
    else if (this.#type === Bind && this.#observer.bindWanted)
      this.#observer.bind(buffer, start, end, this.#exchange.sent);
  }

  #showPieces(): void {
    const whole = Buffer.concat(this.#pieces ?? []);
    this.#pieces = null;
    this.#show(whole, 0, whole.length);
  }
}
