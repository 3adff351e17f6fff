/**
 * A file that a command writes beside its result (`--report`, `--junit`, `--markdown`). That it cannot be written is told before the work begins,
 * where that can be known; where it comes out afterwards (a full disk), the result is shown all the same.
 */
import { constants } from 'node:fs';
import { access, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { onFile } from '../errors/file.js';
import { DbproxyError, type ExitCode } from '../errors/index.js';
import type { Output } from './output.js';

export class OutputFile {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  /** Leaves no trace. Throws DBP_ENV_FILE. */
  static async at(path: string): Promise<OutputFile> {
    const file = new OutputFile(resolve(path));
    await onFile(file.#path, async () => {
      await access(dirname(file.#path), constants.W_OK);
      if ((await stat(file.#path).catch(() => null))?.isDirectory()) throw new Error('it is a directory');
    });
    return file;
  }

  /** Writes it whole or not at all. The exit code that a failure has; it is told on stderr, the result keeps stdout. */
  async write(text: string | Promise<string>, out: Output): Promise<ExitCode> {
    try {
      const content = await text;
      await onFile(this.#path, () => this.#replace(content));
      out.note(`written: ${this.#path}`);
      return 0;
    } catch (thrown) {
      const error = DbproxyError.from(thrown);
      out.complaint(error);
      return error.exitCode;
    }
  }

  async #replace(text: string): Promise<void> {
    // A pipe or a device cannot be replaced, only written to.
    const found = await stat(this.#path).catch(() => null);
    if (found && !found.isFile()) return writeFile(this.#path, text);
    const temporary = `${this.#path}.${process.pid}.tmp`;
    try {
      await writeFile(temporary, text, { flag: 'wx' });
      await rename(temporary, this.#path);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }
}
