/**
 * An engine's bytes as messages: whole ones are shown, and are passed on or not; rows on their way to the client are passed on as
 * they come.
 */
import { Backend } from '../../protocol/index.js';

/** `pass`: as it is. `drop`: it has been dealt with. A buffer: that instead. */
export type Treatment = 'pass' | 'drop' | Buffer;

export interface EngineMessageHandler {
  /** `message`: the whole of it; only lent. */
  message(type: number, message: Buffer): Treatment;
  /** Rows and COPY data of the client: need not be seen. */
  readonly passesRows: boolean;
}

const HEADER = 5;

export class EngineMessages {
  readonly #handler: EngineMessageHandler;
  #rest: Buffer[] = [];
  #restBytes = 0;
  #wanted = HEADER;
  /** Bytes of a row that are still to be passed on. */
  #passing = 0;

  constructor(handler: EngineMessageHandler) {
    this.#handler = handler;
  }

  /** What of it goes to the client; `null`: all of the chunk as it is. The parts are copies. */
  take(chunk: Buffer): Buffer[] | null {
    const parts: Buffer[] = [];
    let bytes = chunk;
    let at = 0;
    if (this.#restBytes > 0) {
      this.#rest.push(Buffer.from(chunk));
      this.#restBytes += chunk.length;
      if (this.#restBytes < this.#wanted) return [];
      bytes = Buffer.concat(this.#rest);
      this.#rest = [];
      this.#restBytes = 0;
    }
    const isChunk = bytes === chunk;
    // The run of what is passed on as it is.
    let from = 0;
    const cut = (end: number): void => {
      if (end > from) parts.push(Buffer.from(bytes.subarray(from, end)));
    };
    if (this.#passing > 0) {
      at = Math.min(this.#passing, bytes.length);
      this.#passing -= at;
    }
    while (bytes.length - at >= HEADER) {
      const length = 1 + bytes.readInt32BE(at + 1);
      const type = bytes[at] ?? 0;
      const isRow = type === Backend.DataRow || type === Backend.CopyData;
      if (isRow && this.#handler.passesRows) {
        const there = Math.min(length, bytes.length - at);
        this.#passing = length - there;
        at += there;
        continue;
      }
      if (bytes.length - at < length) {
        this.#wanted = length;
        break;
      }
      const treatment = this.#handler.message(type, bytes.subarray(at, at + length));
      if (treatment !== 'pass') {
        cut(at);
        from = at + length;
        if (treatment !== 'drop') parts.push(treatment);
      }
      at += length;
    }
    if (at < bytes.length) {
      if (bytes.length - at < HEADER) this.#wanted = HEADER;
      this.#rest = [Buffer.from(bytes.subarray(at))];
      this.#restBytes = bytes.length - at;
    } else if (isChunk && from === 0 && parts.length === 0) return null;
    cut(at);
    return parts;
  }
}
