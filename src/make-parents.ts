/** Directories from the top down. */
import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Makes a directory and those above it. Not mkdir's own `recursive`: where the kernel refuses with ENOENT, as in /proc, that tries
 * for ever (Node 20).
 */
export async function makeParents(directory: string): Promise<void> {
  if ((await stat(directory).catch(() => null)) !== null) return;
  await makeParents(dirname(directory));
  await mkdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
}
