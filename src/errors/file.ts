/** What goes wrong with a file that a user has named, in words that say what to do. */
import { dirname } from 'node:path';
import { DbproxyError } from './index.js';

const WORDS: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'the quota of the disk is used up',
  ENOENT: 'its directory is not there',
  EACCES: 'permission denied',
  EISDIR: 'it is a directory',
  EROFS: 'the file system is read-only',
};

export const reasonOf = ({ code = '', message }: NodeJS.ErrnoException): string => WORDS[code] ?? message;

/** Does something with it. Throws DBP_ENV_FILE. */
export async function onFile<T>(file: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof DbproxyError) throw cause;
    const reason = reasonOf(cause as NodeJS.ErrnoException);
    throw new DbproxyError('DBP_ENV_FILE', { file, reason, directory: dirname(file) }, { cause });
  }
}
