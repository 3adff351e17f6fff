/** A small disk of its own (tmpfs), for cells that fill it. To mount one takes root; where that cannot be, these cells are not run. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, open, rm, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const CHUNKS = [1 << 20, 1 << 12];

export class Disk {
  readonly #directory: string;
  readonly #filler: string;

  private constructor(directory: string) {
    this.#directory = directory;
    this.#filler = join(directory, 'filler');
  }

  /** On that directory, which is made if need be. Rejects when it cannot be mounted. */
  static async mount(directory: string, megabytes: number): Promise<Disk> {
    await mkdir(directory, { recursive: true });
    await run('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=711`, 'dbproxy-test', directory]);
    return new Disk(directory);
  }

  /** Not a byte is left when it resolves. */
  async fill(): Promise<void> {
    const file = await open(this.#filler, 'a');
    try {
      for (const size of CHUNKS)
        while (await file.write(Buffer.alloc(size)).then(isWhole(size), isFull)) continue;
    } finally {
      await file.close();
    }
  }

  /** Somebody makes room. */
  free(): Promise<void> {
    return rm(this.#filler, { force: true });
  }

  async unmount(): Promise<void> {
    await run('umount', ['--lazy', this.#directory]);
  }
}

const isWhole =
  (size: number) =>
  ({ bytesWritten }: { bytesWritten: number }): boolean =>
    bytesWritten === size;

const isFull = (error: NodeJS.ErrnoException): boolean => {
  if (error.code !== 'ENOSPC') throw error;
  return false;
};

/** Null: it can be done. */
export async function whyNoMount(): Promise<string | null> {
  const directory = await mkdtemp(join(tmpdir(), 'dbpmount-'));
  try {
    await (await Disk.mount(directory, 1)).unmount();
    return null;
  } catch (error) {
    return (error as Error).message.trim().split('\n').at(-1) ?? '';
  } finally {
    await rmdir(directory);
  }
}
