/**
 * How many sessions the processes of a group have together: `maxSessions` is a bound for all of them. A file that each writes
 * its own number to and reads all numbers from, 4 bytes for each, which stay in the page cache: nobody has to be asked, and a
 * process that dies counts until it is started again. Logins of the same moment do not see each other.
 */
import { closeSync, openSync, readSync, writeSync, constants } from 'node:fs';
import { dirname, join } from 'node:path';
import type { ProxyGroup } from '../control-api.js';

const BYTES = 4;

export class Headcount {
  readonly #file: number;
  readonly #place: number;
  readonly #all: Buffer;
  readonly #own = Buffer.alloc(BYTES);

  constructor({ number, controlSockets: [first = '', ...others] }: ProxyGroup) {
    const path = join(dirname(first), 'proxy.sessions');
    this.#file = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
    this.#place = number - 1;
    this.#all = Buffer.alloc(BYTES * (1 + others.length));
  }

  /** This process has so many. */
  set(sessions: number): void {
    this.#own.writeUInt32LE(sessions);
    writeSync(this.#file, this.#own, 0, BYTES, BYTES * this.#place);
  }

  /** How many the other ones have. */
  get elsewhere(): number {
    const read = readSync(this.#file, this.#all, 0, this.#all.length, 0);
    let sum = 0;
    for (let at = 0; at + BYTES <= read; at += BYTES)
      if (at !== BYTES * this.#place) sum += this.#all.readUInt32LE(at);
    return sum;
  }

  close(): void {
    closeSync(this.#file);
  }
}
