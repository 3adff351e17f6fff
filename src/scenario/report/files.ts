/**
 * Where reports go. A file is opened before anything is played, so that a path that cannot be written is known at once and
 * not after minutes; what fails later (a full disk) is said, and the result is not lost with it.
 */
import { appendFile, open, type FileHandle } from 'node:fs/promises';
import { DbproxyError } from '../../errors/index.js';
import type { DemoProgress } from '../types.js';

export interface ReportFile {
  /** Throws DBP_SCENARIO_REPORT. */
  write(text: string): Promise<void>;
}

/** Empties the file, or makes it. Throws DBP_SCENARIO_REPORT. */
export async function openReport(file: string): Promise<ReportFile> {
  const handle = await guarded(file, () => open(file, 'w'));
  return { write: (text) => guarded(file, () => handle.writeFile(text).finally(() => handle.close())) };
}

/** For a file that others write, too. */
export const appendReport = (file: string, text: string): Promise<void> =>
  guarded(file, () => appendFile(file, text));

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
    return new EventFile(file, await guarded(file, () => open(file, 'w')));
  }

  add(scenario: string, progress: DemoProgress): void {
    const line = JSON.stringify({ at: new Date().toISOString(), scenario, ...progress });
    this.#writing = this.#writing
      .then(() => guarded(this.#file, () => this.#handle.appendFile(`${line}\n`)))
      .catch((error: unknown) => void (this.#failure ??= DbproxyError.from(error)));
  }

  /** Throws DBP_SCENARIO_REPORT, if a line could not be written. */
  async close(): Promise<void> {
    await this.#writing;
    await this.#handle.close();
    if (this.#failure) throw this.#failure;
  }
}

async function guarded<T>(file: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const reason = code === 'ENOSPC' ? 'the disk is full' : message;
    throw new DbproxyError('DBP_SCENARIO_REPORT', { file, reason }, { cause });
  }
}
