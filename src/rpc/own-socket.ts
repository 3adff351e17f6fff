/**
 * Is the socket at this path one of ours? Node cannot ask who is at the other end (SO_PEERCRED, getpeereid), so the file system
 * answers: the socket is this user's and closed to everybody else, and nobody else can put another one in its place.
 */
import { lstat, stat } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { dirname } from 'node:path';
import { DbproxyError } from '../errors/index.js';

/** Throws DBP_ENV_DIRECTORY. A socket that is not there is for `connect` to tell. */
export async function assertOwnSocket(path: string): Promise<void> {
  const { uid } = userInfo();
  const refuse = (reason: string): never => {
    throw new DbproxyError('DBP_ENV_DIRECTORY', { directory: dirname(path), reason: `${path} ${reason}` });
  };
  const found = await lstat(path).catch(() => null);
  if (!found) return;
  if (!found.isSocket()) refuse('is not a socket');
  if (found.uid !== uid) refuse(`belongs to uid ${found.uid}, not to ${uid}`);
  if ((found.mode & 0o077) !== 0) refuse('is open to others');
  const directory = await stat(dirname(path));
  if (directory.uid !== uid) refuse(`is in a directory of uid ${directory.uid}`);
  if ((directory.mode & 0o022) !== 0) refuse('is in a directory that others can write');
}
