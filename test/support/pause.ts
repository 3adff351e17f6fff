/** A process of ours that stops at a named step (src/fault-point.ts) until it is told to go on. */
import { existsSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from './clients.js';
import { randomName } from './engines.js';

/** An engine may have to be made before it comes there. */
const REACHED_MS = 60_000;

export class Pause {
  readonly #step: string;
  readonly #file: string;

  /** `directory`: where it is written that the step is reached, and that it goes on. */
  constructor(step: string, directory: string) {
    this.#step = step;
    this.#file = join(directory, randomName());
  }

  /** For the process, and those that it starts. */
  get env(): NodeJS.ProcessEnv {
    return { DBPROXY_TEST_PAUSE_AT: `${this.#step}@${this.#file}` };
  }

  /** For the processes that are started out of this one meanwhile. */
  async during<T>(start: () => Promise<T>): Promise<T> {
    Object.assign(process.env, this.env);
    try {
      return await start();
    } finally {
      delete process.env['DBPROXY_TEST_PAUSE_AT'];
    }
  }

  async reached(limitMs = REACHED_MS): Promise<void> {
    await eventually(`${this.#step} to be reached`, () => existsSync(`${this.#file}.reached`), limitMs);
  }

  /** It does not stop there any more. */
  goOn(): Promise<void> {
    return writeFile(this.#file, '');
  }

  /** After `goOn`: it does. */
  async again(): Promise<void> {
    await Promise.all([this.#file, `${this.#file}.reached`].map((file) => rm(file, { force: true })));
  }
}
