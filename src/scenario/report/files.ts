/** Files that are written to while a scenario is played, or that others write to as well. The others: cli/output-file.ts. */
import { appendFile, open, type FileHandle } from 'node:fs/promises';
import { onFile } from '../../errors/file.js';
import { DbproxyError } from '../../errors/index.js';
import type { DemoProgress } from '../types.js';

/** For a file that others write, too. */
export const appendReport = (file: string, text: string): Promise<void> =>
  onFile(file, () => appendFile(file, text));

/** One line of JSON for everything that happens, as it happens. */
export class EventFile {
  readonly #file: string;
  readonly #handle: FileHandle;
  #writing: Promise<void> = Promise.resolve();
  #failure: DbproxyError | undefined;

  private constructor(file: string, handle: FileHandle) {
    this.#file = file;
    this.#handle = handle;
  }

  static async open(file: string): Promise<EventFile> {
    return new EventFile(file, await onFile(file, () => open(file, 'w')));
  }

  add(scenario: string, progress: DemoProgress): void {
    const line = JSON.stringify({ at: new Date().toISOString(), scenario, ...progress });
    this.#writing = this.#writing
      .then(() => onFile(this.#file, () => this.#handle.appendFile(`${line}\n`)))
      .catch((error: unknown) => void (this.#failure ??= DbproxyError.from(error)));
  }

  /** Throws DBP_ENV_FILE, if a line could not be written. */
  async close(): Promise<void> {
    await this.#writing;
    await this.#handle.close();
    if (this.#failure) throw this.#failure;
  }
}
