/**
 * An engine's bytes as messages: whole ones are shown, and are passed on or not; rows on their way to the client are passed on as
 * they come.
 */
import { Backend } from '../../protocol/index.js';

/** `pass`: as it is. `drop`: it has been dealt with. A buffer: that instead. */
export type Treatment = 'pass' | 'drop' | Buffer;

export interface EngineMessageHandler {
  /** The whole of it; the buffer is only lent. */
  message(type: number, buffer: Buffer, start: number, end: number): Treatment;
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

  /** What of `buffer[0, end)` goes to the client; `null`: all of it as it is. The parts are copies. */
  take(buffer: Buffer, end: number): Buffer[] | null {
    if (this.#restBytes === 0) return this.#take(buffer, end, true);
    this.#rest.push(Buffer.from(buffer.subarray(0, end)));
    this.#restBytes += end;
    if (this.#restBytes < this.#wanted) return [];
    const bytes = Buffer.concat(this.#rest);
    this.#rest = [];
    this.#restBytes = 0;
    return this.#take(bytes, bytes.length, false);
  }

  #take(bytes: Buffer, end: number, isChunk: boolean): Buffer[] | null {
    let parts: Buffer[] | null = null;
    /** The run of what is passed on as it is. */
    let from = 0;
    let at = Math.min(this.#passing, end);
    this.#passing -= at;
    while (end - at >= HEADER) {
      const length = 1 + bytes.readInt32BE(at + 1);
      const type = bytes[at] ?? 0;
      const isRow = type === Backend.DataRow || type === Backend.CopyData;
      if (isRow && this.#handler.passesRows) {
        const there = Math.min(length, end - at);
        this.#passing = length - there;
        at += there;
        continue;
      }
      if (end - at < length) {
        this.#wanted = length;
        break;
      }
      const treatment = this.#handler.message(type, bytes, at, at + length);
      if (treatment !== 'pass') {
        parts = cut(parts, bytes, from, at);
        from = at + length;
        if (treatment !== 'drop') parts.push(treatment);
      }
      at += length;
    }
    if (at < end) {
      if (end - at < HEADER) this.#wanted = HEADER;
      this.#rest = [Buffer.from(bytes.subarray(at, end))];
      this.#restBytes = end - at;
    } else if (isChunk && parts === null) return null;
    return cut(parts, bytes, from, at);
  }
}

const cut = (parts: Buffer[] | null, bytes: Buffer, from: number, to: number): Buffer[] => {
  const all = parts ?? [];
  if (to > from) all.push(Buffer.from(bytes.subarray(from, to)));
  return all;
};
