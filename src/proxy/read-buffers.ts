/**
 * Where bytes land when a socket is read. All links read into one shared buffer, because every chunk is consumed before the
 * callback returns; an idle session costs no buffer at all. Two exceptions:
 *  - a write that did not finish at once still refers to the buffer: the buffer is left to it, everybody else gets a new one;
 *  - a link whose reads fill the buffer (a large result) or ran into that case gets a buffer of its own: while its write
 *    is unfinished the link is not read, so nothing is copied and nobody else is concerned.
 */
import type { RawHandle } from './raw-handle.js';

/** Size of the shared buffer and of private ones, bytes. */
export const READ_BUFFER_BYTES = 64 * 1024;
/** Longest view that is kept, bytes: most requests and answers are shorter. */
const MAX_KEPT_VIEW_BYTES = 2_048;
/** A private buffer goes back after this long without a full read, ms. */
const PRIVATE_IDLE_MS = 10_000;

export interface Reader {
  readonly handle: RawHandle | null;
  readBuffer: Buffer;
  /** When its private buffer was last needed (ms, monotonic); null: it uses the shared one. */
  privateSince: number | null;
  /** An unfinished write refers to its read buffer. */
  readonly readBufferPinned: boolean;
}

export class ReadBuffers {
  #shared = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES);
  /** Views of the shared buffer, by length. */
  #views: Buffer[] = [];
  readonly #spare: Buffer[] = [];
  readonly #readers = new Set<Reader>();
  readonly #sweep: NodeJS.Timeout;

  constructor() {
    this.#sweep = setInterval(() => this.#returnIdle(), PRIVATE_IDLE_MS).unref();
  }

  /** `buffer[0, end)`. For small pieces of the shared buffer the same view again: making one costs more than scanning. */
  view(buffer: Buffer, end: number): Buffer {
    if (buffer !== this.#shared || end > MAX_KEPT_VIEW_BYTES) return buffer.subarray(0, end);
    return (this.#views[end] ??= buffer.subarray(0, end));
  }

  get shared(): Buffer {
    return this.#shared;
  }

  add(reader: Reader): void {
    this.#readers.add(reader);
    this.#assign(reader, this.#shared);
  }

  remove(reader: Reader): void {
    this.#readers.delete(reader);
    if (reader.privateSince !== null && !reader.readBufferPinned) this.#spare.push(reader.readBuffer);
  }

  /** The reader's reads are large, or its peer is slow. */
  makePrivate(reader: Reader): void {
    if (reader.privateSince === null) {
      this.#assign(reader, this.#spare.pop() ?? Buffer.allocUnsafeSlow(READ_BUFFER_BYTES));
    }
    reader.privateSince = performance.now();
  }

  /** An unfinished write refers to `reader`'s buffer: nobody else may read into it. */
  pinned(reader: Reader): void {
    if (reader.privateSince !== null) return;
    this.#shared = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES);
    this.#views = [];
    for (const other of this.#readers) if (other.privateSince === null) this.#assign(other, this.#shared);
    this.makePrivate(reader);
  }

  /** It is read on although an unfinished write refers to its buffer, which is left to that. */
  renew(reader: Reader): void {
    this.#assign(reader, Buffer.allocUnsafeSlow(READ_BUFFER_BYTES));
    reader.privateSince = performance.now();
  }

  close(): void {
    clearInterval(this.#sweep);
  }

  #assign(reader: Reader, buffer: Buffer): void {
    reader.readBuffer = buffer;
    reader.handle?.useUserBuffer(buffer);
  }

  #returnIdle(): void {
    const now = performance.now();
    for (const reader of this.#readers) {
      if (reader.privateSince === null || now - reader.privateSince < PRIVATE_IDLE_MS) continue;
      if (reader.readBufferPinned) continue;
      this.#spare.push(reader.readBuffer);
      reader.privateSince = null;
      this.#assign(reader, this.#shared);
    }
    this.#spare.length = Math.min(this.#spare.length, 16);
  }
}
