/** A process of ours that stops at a named step (src/fault-point.ts) until it is told to go on. */
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from './clients.js';
import { randomName } from './engines.js';

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

  async reached(): Promise<void> {
    await eventually(`${this.#step} to be reached`, () => existsSync(`${this.#file}.reached`));
  }

  goOn(): Promise<void> {
    return writeFile(this.#file, '');
  }
}
