/**
 * Assembles whole messages from pieces of a byte stream. For logins and our own queries, where messages are few; the data
 * path uses the stream trackers instead, which copy nothing.
 */
import { ProtocolViolation } from './violation.js';

export interface Message {
  readonly type: number;
  /** Without type and length; a copy, safe to keep. */
  readonly body: Buffer;
}

const HEADER_BYTES = 5;
const EMPTY = Buffer.alloc(0);

export class MessageReader {
  readonly #maxBytes: number;
  /** In order. They are put together only when a message is whole: one of 100 MB comes in thousands. */
  #pieces: Buffer[] = [];
  /** Where in the first of them the next message begins. */
  #start = 0;
  /** From there on. */
  #bytes = 0;
  /** What the next message takes, as far as that is known. */
  #wanted = HEADER_BYTES;

  /** `maxBytes` bounds one message's length field. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Takes a copy of `chunk`; call `next` until it returns null. */
  push(chunk: Uint8Array): void {
    if (this.#bytes === 0) this.#clear();
    this.#pieces.push(Buffer.from(chunk));
    this.#bytes += chunk.length;
  }

  /** The next whole message, or null. Throws ProtocolViolation when a length is out of bounds. */
  next(): Message | null {
    if (this.#bytes < this.#wanted) return null;
    const buffer = this.#join();
    const start = this.#start;
    const length = buffer.readInt32BE(start + 1);
    if (length < 4 || length > this.#maxBytes) throw new ProtocolViolation('invalid message length');
    this.#wanted = length + 1;
    if (this.#bytes < this.#wanted) return null;
    this.#wanted = HEADER_BYTES;
    this.#start += length + 1;
    this.#bytes -= length + 1;
    return { type: buffer[start] ?? 0, body: buffer.subarray(start + HEADER_BYTES, start + length + 1) };
  }

  /** What has not become a message yet. */
  get rest(): Buffer {
    return this.#join().subarray(this.#start);
  }

  /** What has not become a message yet; the reader is empty afterwards. */
  takeRest(): Buffer {
    const { rest } = this;
    this.#clear();
    this.#wanted = HEADER_BYTES;
    return rest;
  }

  #join(): Buffer {
    const first = this.#pieces[0] ?? EMPTY;
    if (this.#pieces.length <= 1) return first;
    const whole = Buffer.concat([first.subarray(this.#start), ...this.#pieces.slice(1)]);
    this.#pieces = [whole];
    this.#start = 0;
    return whole;
  }

  #clear(): void {
    this.#pieces = [];
    this.#start = 0;
    this.#bytes = 0;
  }
}
