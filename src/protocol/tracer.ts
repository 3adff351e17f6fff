/**
 * Follows one direction of a connection and tells every message as libpq's trace does (manual 34.14.1, PQtrace; libpq/fe-trace.c).
 * Of a long message only the beginning is kept; the rest is counted.
 */
import type { StreamImage } from './client-stream.js';
import { fieldsOf, nameOf, type Direction } from './trace-fields.js';

export interface TracedMessage {
  readonly direction: Direction;
  /** The message's own length field: all but the type. */
  readonly bytes: number;
  readonly name: string;
  /** What follows the name in a line of PQtrace; each field after a blank. */
  readonly fields: string;
}

export interface TracerOptions {
  /** Also what users bind, copy and read; without it only how long it is. */
  readonly values: boolean;
}

const HEADER_BYTES = 5;
/** So much of a message is shown. */
const KEPT_BYTES = 4_096;

export class Tracer {
  readonly #direction: Direction;
  readonly #options: TracerOptions;
  readonly #onMessage: (message: TracedMessage) => void;
  readonly #header = Buffer.alloc(HEADER_BYTES);
  #headerBytes = 0;
  /** Body bytes that are still to come. */
  #need = 0;
  /** Of the message under way; null: it began before we looked. */
  #kept: Buffer[] | null = null;
  #keptBytes = 0;

  /** `from`: where the stream stands. */
  constructor(
    direction: Direction,
    from: StreamImage,
    options: TracerOptions,
    onMessage: (message: TracedMessage) => void,
  ) {
    this.#direction = direction;
    this.#options = options;
    this.#onMessage = onMessage;
    this.#need = from.need;
    this.#headerBytes = from.header.copy(this.#header);
  }

  push(buffer: Buffer, start: number, end: number): void {
    let at = start;
    while (at < end) {
      if (this.#need === 0) {
        const taken = Math.min(HEADER_BYTES - this.#headerBytes, end - at);
        buffer.copy(this.#header, this.#headerBytes, at, at + taken);
        this.#headerBytes += taken;
        at += taken;
        if (this.#headerBytes < HEADER_BYTES) return;
        this.#headerBytes = 0;
        this.#need = Math.max(0, this.#header.readInt32BE(1) - 4);
        this.#kept = [];
        this.#keptBytes = 0;
      } else {
        const taken = Math.min(this.#need, end - at);
        const wanted = Math.min(taken, KEPT_BYTES - this.#keptBytes);
        if (wanted > 0) this.#kept?.push(Buffer.from(buffer.subarray(at, at + wanted)));
        this.#keptBytes += wanted;
        this.#need -= taken;
        at += taken;
      }
      if (this.#need === 0) this.#tell();
    }
  }

  #tell(): void {
    const kept = this.#kept;
    this.#kept = null;
    if (!kept) return;
    const direction = this.#direction;
    const type = this.#header[0] ?? 0;
    const bytes = this.#header.readInt32BE(1);
    const body = Buffer.concat(kept);
    const fields = fieldsOf(direction, type, body, bytes - 4, this.#options.values);
    this.#onMessage({ direction, bytes, name: nameOf(direction, type), fields });
  }
}
