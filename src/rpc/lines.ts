/** Cuts a byte stream into JSON lines, with a bound on a line's length. */
import { StringDecoder } from 'node:string_decoder';
import { DbproxyError } from '../errors/index.js';

/** A line longer than this ends the connection (bytes). A snapshot of 5 000 sessions takes about 2 MB. */
export const MAX_LINE_BYTES = 64 * 1024 * 1024;

export class JsonLines {
  #decoder = new StringDecoder('utf8');
  #rest = '';
  readonly #onValue: (value: unknown) => void;

  constructor(onValue: (value: unknown) => void) {
    this.#onValue = onValue;
  }

  /** Takes the next bytes; calls back for each whole line. Throws DBP_RPC_PROTOCOL on bytes that are not JSON lines. */
  push(chunk: Buffer): void {
    const lines = (this.#rest + this.#decoder.write(chunk)).split('\n');
    this.#rest = lines.pop() ?? '';
    if (this.#rest.length > MAX_LINE_BYTES)
      throw new DbproxyError('DBP_RPC_PROTOCOL', { reason: 'line too long' });
    for (const line of lines) {
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
}
