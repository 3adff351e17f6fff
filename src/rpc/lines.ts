/** JSON lines: cut out of a byte stream, with a bound on a line's length; and written, as many at once as there are. */
import type { Writable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { DbproxyError } from '../errors/index.js';

/** A line longer than this ends the connection (bytes). A snapshot of 5 000 sessions takes about 2 MB. */
export const MAX_LINE_BYTES = 64 * 1024 * 1024;

export class JsonLines {
  #decoder = new StringDecoder('utf8');
  /** Of a line that has not ended. Put together once: one of 20 MB comes in hundreds. */
  #pieces: string[] = [];
  #length = 0;
  readonly #onValue: (value: unknown) => void;

  constructor(onValue: (value: unknown) => void) {
    this.#onValue = onValue;
  }

  /** Takes the next bytes; calls back for each whole line. Throws DBP_RPC_PROTOCOL on bytes that are not JSON lines. */
  push(chunk: Buffer): void {
    const [first = '', ...others] = this.#decoder.write(chunk).split('\n');
    this.#keep(first);
    for (const next of others) {
      const line = this.#pieces.join('');
      this.#pieces = [];
      this.#length = 0;
      this.#keep(next);
      if (line === '') continue;
      let value: unknown;
      try {
        value = JSON.parse(line);
      } catch (cause) {
        throw new DbproxyError('DBP_RPC_PROTOCOL', { reason: 'a line is not JSON' }, { cause });
      }
      this.#onValue(value);
    }
  }

  #keep(piece: string): void {
    if (piece !== '') this.#pieces.push(piece);
    this.#length += piece.length;
    if (this.#length > MAX_LINE_BYTES)
      throw new DbproxyError('DBP_RPC_PROTOCOL', { reason: 'line too long' });
  }
}

/** What is said within one turn goes out in one write: a message costs less than waking up who reads it. */
export class LineWriter {
  readonly #stream: Writable;
  #text = '';

  constructor(stream: Writable) {
    this.#stream = stream;
  }

  write(value: object): void {
    if (this.#text === '') process.nextTick(() => this.flush());
    this.#text += `${JSON.stringify(value)}\n`;
  }

  /** Written, and not yet with the kernel. */
  get behindBytes(): number {
    return this.#text.length + this.#stream.writableLength;
  }

  /** After what was written until now. */
  end(): void {
    this.flush();
    this.#stream.end();
  }

  flush(): void {
    const text = this.#text;
    this.#text = '';
    if (text !== '' && this.#stream.writable) this.#stream.write(text);
  }
}
