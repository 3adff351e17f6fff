/**
 * What a look into an image found, kept for the next process: `<cache>/images/<id>.json`. An image does not change under its id, so
 * nothing there gets old; what cannot be read or written costs another look, and is no error.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface ImageFacts {
  /** `17.10` */
  readonly postgres: string;
  readonly hasBaseBackup: boolean;
  /** unix_socket_directories, as its server has it by itself. Empty: it did not say. */
  readonly socketDirectories: string;
}

/** `id`: `sha256:…`, as the runtime says it. */
const fileOf = (cache: string, id: string): string => join(cache, 'images', `${id.replace(/\W/g, '-')}.json`);

export async function recallFacts(cache: string, id: string): Promise<ImageFacts | null> {
  try {
    const { postgres, hasBaseBackup, socketDirectories } = JSON.parse(
      await readFile(fileOf(cache, id), 'utf8'),
    ) as Partial<ImageFacts>;
    if (typeof postgres !== 'string' || !/^\d+\.\d+$/.test(postgres)) return null;
    if (typeof hasBaseBackup !== 'boolean' || typeof socketDirectories !== 'string') return null;
    return { postgres, hasBaseBackup, socketDirectories };
  } catch {
    return null;
  }
}

/** In one step: who reads meanwhile sees all of it or nothing. */
export async function rememberFacts(cache: string, id: string, facts: ImageFacts): Promise<void> {
  const file = fileOf(cache, id);
  const unfinished = `${file}.${randomUUID()}`;
  try {
    await mkdir(join(cache, 'images'), { recursive: true, mode: 0o700 });
    await writeFile(unfinished, `${JSON.stringify(facts)}\n`, { mode: 0o600 });
    await rename(unfinished, file);
  } catch {
    await rm(unfinished, { force: true }).catch(() => undefined);
  }
}
