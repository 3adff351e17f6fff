/**
 * Follows the byte stream of an engine without copying it: sees each ReadyForQuery and CopyInResponse, and shows the few
 * messages that carry session state (ParameterStatus, CommandComplete). Called once for every chunk that is forwarded.
 */
import type { StreamImage } from './client-stream.js';
import { Backend, type TxStatus } from './codes.js';
import type { Exchange } from './exchange.js';
import { ProtocolViolation } from './violation.js';

/** Bodies only, [start, end); the buffer is only lent. */
export interface EngineObserver {
  parameterStatus(buffer: Buffer, start: number, end: number): void;
  /** `request`: of which request, from 0. */
  commandComplete(buffer: Buffer, start: number, end: number, request: number): void;
}

const { CommandComplete, CopyInResponse, ErrorResponse, ParameterStatus, ReadyForQuery } = Backend;
const { BindComplete, CloseComplete, EmptyQueryResponse, FunctionCallResponse } = Backend;
const { NoData, ParseComplete, PortalSuspended, RowDescription } = Backend;
/** Types whose body is looked at. */
const SHOWN = new Uint8Array(256);
for (const type of [CommandComplete, ParameterStatus, ReadyForQuery]) SHOWN[type] = 1;
/** Each message of a batch is answered by one of these at last, or by an error; a Query by one at least. */
const COMPLETES = new Uint8Array(256);
for (const type of [
  ...[ParseComplete, BindComplete, CloseComplete, NoData, RowDescription],
  ...[CommandComplete, EmptyQueryResponse, PortalSuspended, FunctionCallResponse],
])
  COMPLETES[type] = 1;

export class EngineStream {
  readonly #exchange: Exchange;
  readonly #observer: EngineObserver;
  #need = 0;
  #type = 0;
  readonly #header = Buffer.alloc(5);
  #headerBytes = 0;
  #pieces: Buffer[] | null = null;
  #answered = false;

  constructor(exchange: Exchange, observer: EngineObserver) {
    this.#exchange = exchange;
    this.#observer = observer;
  }

  /** The last message was an ErrorResponse: if the engine ends the connection now, it has said why. */
  get lastWasError(): boolean {
    return this.#type === ErrorResponse;
  }

  /** No message is cut off at this point of the stream. */
  get atBoundary(): boolean {
    return this.#need === 0 && this.#headerBytes === 0;
  }

  /** Follows `buffer[start, end)`; true when a ReadyForQuery or a CopyInResponse was in it. */
  scan(buffer: Buffer, start: number, end: number): boolean {
    this.#answered = false;
    let at = start;
    while (at < end) {
      if (this.#need > 0) {
        const taken = Math.min(this.#need, end - at);
        if (this.#pieces) this.#pieces.push(Buffer.from(buffer.subarray(at, at + taken)));
        this.#need -= taken;
        at += taken;
        if (this.#need === 0 && this.#pieces) this.#showPieces();
        continue;
      }
      if (this.#headerBytes > 0 || end - at < 5) {
        while (this.#headerBytes < 5 && at < end) this.#header[this.#headerBytes++] = buffer[at++] ?? 0;
        if (this.#headerBytes < 5) break;
        this.#headerBytes = 0;
        this.#begin(this.#header, 0);
      } else {
        const length = this.#begin(buffer, at);
        if (length < end - at) {
          this.#need = 0;
          if (SHOWN[this.#type] === 1) this.#show(buffer, at + 5, at + 1 + length);
          at += 1 + length;
          continue;
        }
        at += 5;
      }
      if (SHOWN[this.#type] === 1) {
        this.#pieces = [];
        if (this.#need === 0) this.#showPieces();
      }
    }
    return this.#answered;
  }

  save(): StreamImage {
    return {
      type: this.#type,
      need: this.#need,
      header: Buffer.from(this.#header.subarray(0, this.#headerBytes)),
      kept: this.#pieces && Buffer.concat(this.#pieces),
    };
  }

  /** Goes on where the stream of the image stood. */
  restore({ type, need, header, kept }: StreamImage): void {
    this.#type = type;
    this.#need = need;
    this.#headerBytes = header.copy(this.#header);
    this.#pieces = kept && [kept];
  }

  #begin(buffer: Buffer, at: number): number {
    const length = buffer.readInt32BE(at + 1);
    if (length < 4) throw new ProtocolViolation('invalid message length from the engine');
    this.#type = buffer[at] ?? 0;
    this.#need = length - 4;
    if (COMPLETES[this.#type] === 1) this.#exchange.completed();
    else if (this.#type === ErrorResponse) this.#exchange.failed();
    else if (this.#type === CopyInResponse) {
      this.#exchange.copyInStarted();
      this.#answered = true;
    }
    return length;
  }

  #show(buffer: Buffer, start: number, end: number): void {
    if (this.#type === ReadyForQuery) {
      // The byte after an empty body is another message's.
      if (end - start !== 1) throw new ProtocolViolation('invalid ReadyForQuery from the engine');
      this.#exchange.ready(statusOf(buffer[start]));
      this.#answered = true;
    } else if (this.#type === CommandComplete)
      this.#observer.commandComplete(buffer, start, end, this.#exchange.answered);
    else this.#observer.parameterStatus(buffer, start, end);
  }

  #showPieces(): void {
    const body = Buffer.concat(this.#pieces ?? []);
    this.#pieces = null;
    this.#show(body, 0, body.length);
  }
}

const statusOf = (code: number | undefined): TxStatus => {
  if (code === 0x49 /* I */) return 'I';
  return code === 0x54 /* T */ ? 'T' : 'E';
};
