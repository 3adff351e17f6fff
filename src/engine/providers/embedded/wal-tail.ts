/** The WAL of an embedded server that has stopped: files of its data directory. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bytesBetween, endOfSegment, isSegment } from '../../wal-tail.js';

/** Bytes behind `position` (`0/3000148`); 0: it has nothing that comes after it. Null: there is no WAL to be read. */
export async function walAfter(dataDirectory: string, position: string): Promise<number | null> {
  const directory = join(dataDirectory, 'pg_wal');
  const names = (await readdir(directory)).filter(isSegment).sort();
  for (const name of names.reverse()) {
    const end = endOfSegment(name, await readFile(join(directory, name)));
    if (end !== null) return bytesBetween(position, end);
  }
  return null;
}
