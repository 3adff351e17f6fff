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
  query(buffer: Buffer, start: number, end: number): void;
  close(buffer: Buffer, start: number, end: number): void;
  /** Called for Bind messages while `bindWanted`. */
  bind(buffer: Buffer, start: number, end: number): void;
  readonly bindWanted: boolean;
  /** A Parse, Query or Close too long to be shown (more than MAX_OBSERVED_MESSAGE_BYTES). */
  tooLong(type: number): void;
}

const {
  Bind,
  Close,
  CopyData,
  CopyDone,
  CopyFail,
  Describe,
  Execute,
  Flush,
  FunctionCall,
  Parse,
  Query,
  Sync,
} = Frontend;
const { Terminate } = Frontend;

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
        const taken = Math.min(this.#need, end - at);
        if (this.#pieces) this.#pieces.push(Buffer.from(buffer.subarray(at, at + taken)));
        this.#need -= taken;
        at += taken;
        if (this.#need > 0) return end;
        if (this.#pieces) this.#showPieces();
        if (this.#finish(this.#type) && oneRequest) return at;
        continue;
      }
      if (this.#headerBytes > 0 || end - at < 5) {
        while (this.#headerBytes < 5 && at < end) this.#header[this.#headerBytes++] = buffer[at++] ?? 0;
        if (this.#headerBytes < 5) return end;
        this.#headerBytes = 0;
        this.#begin(this.#header, 0);
        if (this.#observed(this.#type)) this.#collect(this.#header, 0, 5);
      } else {
        const length = this.#begin(buffer, at);
        if (length < end - at) {
          const next = at + 1 + length;
          this.#need = 0;
          this.#show(buffer, at, next);
          at = next;
          if (this.#finish(this.#type) && oneRequest) return at;
          continue;
        }
        if (this.#observed(this.#type)) this.#collect(buffer, at, at + 5);
        at += 5;
      }
      if (this.#need === 0) {
        if (this.#pieces) this.#showPieces();
        if (this.#finish(this.#type) && oneRequest) return at;
      }
    }
    return end;
  }

  /** Reads a header; returns the length field. */
  #begin(buffer: Buffer, at: number): number {
    const type = buffer[at] ?? 0;
    const length = buffer.readInt32BE(at + 1);
    if (length < 4 || length > limit(type)) {
      throw new ProtocolViolation('invalid message length');
    }
    this.#type = type;
    this.#need = length - 4;
    return length;
  }

  /** A message is complete. True when it asks for a ReadyForQuery. */
  #finish(type: number): boolean {
    const exchange = this.#exchange;
    switch (type) {
      case Query:
      case FunctionCall:
        exchange.asked();
        return true;
      case Sync:
        exchange.synced();
        return true;
      case CopyDone:
      case CopyFail:
        exchange.copyEnded();
        return false;
      case CopyData:
        return false;
      case Terminate:
        this.terminated = true;
        return false;
      case Flush:
        if (!exchange.copyIn) exchange.batchOpen = true;
        return false;
      default:
        exchange.batchOpen = true;
        return false;
    }
  }

  #observed(type: number): boolean {
    return type === Query || type === Parse || type === Close || (type === Bind && this.#observer.bindWanted);
  }

  #show(buffer: Buffer, start: number, end: number): void {
    if (this.#type === Query) this.#observer.query(buffer, start, end);
    else if (this.#type === Parse) this.#observer.parse(buffer, start, end);
    else if (this.#type === Close) this.#observer.close(buffer, start, end);
    else if (this.#type === Bind && this.#observer.bindWanted) this.#observer.bind(buffer, start, end);
  }

  #collect(buffer: Buffer, start: number, end: number): void {
    if (this.#need > MAX_OBSERVED_MESSAGE_BYTES) this.#observer.tooLong(this.#type);
    else this.#pieces = [Buffer.from(buffer.subarray(start, end))];
  }

  #showPieces(): void {
    const whole = Buffer.concat(this.#pieces ?? []);
    this.#pieces = null;
    this.#show(whole, 0, whole.length);
  }
}

/** Bound of the length field by type, as PostgreSQL has them (tcop/postgres.c, SocketBackend). Throws on other types. */
const limit = (type: number): number => {
  switch (type) {
    case Query:
    case Parse:
    case Bind:
    case FunctionCall:
    case CopyData:
      return MAX_LARGE_MESSAGE_BYTES;
    case Execute:
    case Sync:
    case Describe:
    case Close:
    case Flush:
    case CopyDone:
    case CopyFail:
    case Terminate:
      return MAX_SMALL_MESSAGE_BYTES;
    default:
      throw new ProtocolViolation(`invalid frontend message type ${type}`);
  }
};
