/**
 * Under which user engines run, and whether that user gets at our files. PostgreSQL refuses to run as root, so root's
 * engines run as an unprivileged user; everybody else's run as themselves.
 */
import { readFile, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { DbproxyError } from '../../../errors/index.js';

export interface ServerUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** In this order: the user that a PostgreSQL package made, else the one every system has. */
const CANDIDATES = ['postgres', 'nobody'];

/** The user to change to; null when we are not root and engines run as we do. Throws DBP_ENV_NO_PROVIDER. */
export async function serverUser(): Promise<ServerUser | null> {
  if (process.getuid?.() !== 0) return null;
  const users = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  for (const candidate of CANDIDATES) {
    const [name, , uid, gid] = users.find(([user]) => user === candidate) ?? [];
    if (name !== undefined && Number(uid) > 0) return { name, uid: Number(uid), gid: Number(gid) };
  }
  const reason = `PostgreSQL refuses to run as root, and none of the users ${CANDIDATES.join(', ')} exists`;
  throw new DbproxyError('DBP_ENV_NO_PROVIDER', { reason });
}

/** What spawn() needs to run something as that user; libuv drops root's supplementary groups on the way. */
export function spawnIdentity(user: ServerUser | null): { uid?: number; gid?: number } {
  return user === null ? {} : { uid: user.uid, gid: user.gid };
}

/** The first directory on the way to `path` that the user may not pass; null when the way is open. */
export async function blockedAt(path: string, user: ServerUser | null): Promise<string | null> {
  if (user === null) return null;
  const way: string[] = [];
  for (let at = resolve(path); ; at = dirname(at)) {
    way.unshift(at);
    if (at === dirname(at)) break;
  }
  for (const directory of way) {
    const { mode, uid, gid } = await stat(directory);
    const bit = uid === user.uid ? 0o100 : gid === user.gid ? 0o010 : 0o001;
    if ((mode & bit) === 0) return directory;
  }
  return null;
}
