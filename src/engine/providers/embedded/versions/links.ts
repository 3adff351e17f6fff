/**
 * npm packs no symbolic links, and the script of the package that restores them may have been skipped: without the soname
 * links no binary loads its libraries.
 */
import { randomUUID } from 'node:crypto';
import { readFile, rename, stat, symlink } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';

/** Restores the links that npm dropped. Two processes may do it at once: both make the same link. */
export async function restoreLinks(root: string): Promise<void> {
  const links = JSON.parse(await readFile(join(root, 'native/pg-symlinks.json'), 'utf8')) as {
    source: string;
    target: string;
  }[];
  for (const { source, target } of links) {
    const path = join(root, target);
    // Asks for what it points to: a link to nothing is as bad as none.
    if ((await stat(path).catch(() => null)) !== null) continue;
    const next = `${path}.${randomUUID()}`;
    await symlink(relative(dirname(source), source), next);
    await rename(next, path);
  }
}
