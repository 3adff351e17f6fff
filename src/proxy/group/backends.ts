/**
 * Which backends serve the sessions of one process of a group, in a file that outlives it: in the middle of a statement a backend
 * does not look whether its client is there, so those of a process that died run on, with their locks. Who takes its place ends
 * them, and only them: those of the other processes are served. A fixed place for each, written to the page cache, as the
 * headcount is (headcount.ts).
 *
 * Rejected: all that the living ones do not know of (a login that is under way there, and what a user's dblink has opened, would
 * be hit); client_connection_check_interval (not before PostgreSQL 14, and what a client does not wait for would not be carried
 * out any more, as it is by a server without proxy).
 */
import { randomBytes } from 'node:crypto';
import { openSync, readdirSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { logLine } from '../../log-line.js';
import type { ProxyGroup } from '../control-api.js';

/** Process id, when it was written down (Unix time, s), id of its engine. */
const PID_AT = 0;
const TIME_AT = 4;
const ENGINE_AT = 12;
const BYTES = 32;

export interface LeftBackend {
  readonly engine: string;
  readonly pid: number;
  /** It has begun before that; one with the same pid that begins later is another one. */
  readonly knownAtS: number;
}

interface Served {
  readonly backendPid: number;
  readonly engine: { readonly id: string };
}

export class Backends<Owner> {
  readonly #directory: string;
  readonly #prefix: string;
  readonly #name: string;
  readonly #file: number;
  readonly #places = new Map<Owner, number>();
  readonly #free: number[] = [];
  #left: readonly string[] = [];

  constructor({ number, controlSockets: [first = ''] }: ProxyGroup) {
    this.#directory = dirname(first);
    this.#prefix = `backends-${number}-`;
    // The one that it takes over from, if there is one, has its own.
    this.#name = this.#prefix + randomBytes(6).toString('hex');
    this.#file = openSync(join(this.#directory, this.#name), 'wx', 0o600);
  }

  set(owner: Owner, { backendPid, engine }: Served): void {
    const place = this.#places.get(owner) ?? this.#free.pop() ?? this.#places.size;
    this.#places.set(owner, place);
    const entry = Buffer.alloc(BYTES);
    entry.writeUInt32LE(backendPid, PID_AT);
    entry.writeDoubleLE(Date.now() / 1_000, TIME_AT);
    entry.write(engine.id, ENGINE_AT, 'latin1');
    this.#write(place, entry);
  }

  delete(owner: Owner): void {
    const place = this.#places.get(owner);
    if (place === undefined) return;
    this.#places.delete(owner);
    this.#free.push(place);
    this.#write(place, Buffer.alloc(BYTES));
  }

  /** Of those that were this one before, and have died. */
  readLeft(): LeftBackend[] {
    const names = readdirSync(this.#directory);
    this.#left = names.filter((name) => name.startsWith(this.#prefix) && name !== this.#name);
    return this.#left.flatMap((name) => backendsIn(readFileSync(join(this.#directory, name))));
  }

  /** They have been ended. */
  forgetLeft(): void {
    for (const name of this.#left) rmSync(join(this.#directory, name), { force: true });
    this.#left = [];
  }

  /** This process has none any more. */
  remove(): void {
    rmSync(join(this.#directory, this.#name), { force: true });
  }

  /** Without room on the disk a session goes on all the same. */
  #write(place: number, entry: Buffer): void {
    try {
      writeSync(this.#file, entry, 0, BYTES, BYTES * place);
    } catch (error) {
      logLine(`${this.#name}: ${String(error)}`);
    }
  }
}

const backendsIn = (file: Buffer): LeftBackend[] => {
  const found: LeftBackend[] = [];
  for (let at = 0; at + BYTES <= file.length; at += BYTES) {
    const pid = file.readUInt32LE(at + PID_AT);
    const [engine = ''] = file.toString('latin1', at + ENGINE_AT, at + BYTES).split('\0');
    if (pid !== 0) found.push({ pid, engine, knownAtS: file.readDoubleLE(at + TIME_AT) });
  }
  return found;
};
