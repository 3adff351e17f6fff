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
  #buffer: Buffer = EMPTY;

  /** `maxBytes` bounds one message's length field. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Takes a copy of `chunk`; call `next` until it returns null. */
  push(chunk: Uint8Array): void {
    this.#buffer = Buffer.concat([this.#buffer, chunk]);
  }

  /** The next whole message, or null. Throws ProtocolViolation when a length is out of bounds. */
  next(): Message | null {
    if (this.#buffer.length < HEADER_BYTES) return null;
    const length = this.#buffer.readInt32BE(1);
    if (length < 4 || length > this.#maxBytes) throw new ProtocolViolation('invalid message length');
    if (this.#buffer.length < length + 1) return null;
    const message = {
      type: this.#buffer[0] ?? 0,
      body: this.#buffer.subarray(HEADER_BYTES, length + 1),
    };
    this.#buffer = this.#buffer.subarray(length + 1);
    return message;
  }

  /** What has not become a message yet; the reader is empty afterwards. */
  takeRest(): Buffer {
    const rest = this.#buffer;
    this.#buffer = EMPTY;
    return rest;
  }
}
