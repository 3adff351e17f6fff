/**
 * A full disk, or a full quota: the one failure that gets better by itself, and that only a person can help with. It is told in
 * three ways: by the system (ENOSPC, EDQUOT), by PostgreSQL (SQLSTATE 53100 disk_full), and in the words of both (strerror), which
 * is all that the log of a server or the complaint of `cp` has.
 */
import { statSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DbproxyError } from './index.js';

const CODES = new Set(['ENOSPC', 'EDQUOT', '53100', 'DBP_ENV_DISK_FULL']);
const WORDS = /No space left on device|Disk quota exceeded|ENOSPC|EDQUOT/i;
/** An engine cannot go on with less: one segment of its WAL. */
const SEGMENT_BYTES = 1024 * 1024;

/** Whether it, or what caused it, is that. */
export function isNoRoom(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code, message, cause } = error as NodeJS.ErrnoException;
  return CODES.has(code ?? '') || WORDS.test(message) || isNoRoom(cause);
}

/** For `catch`, where what could not be written need not be: throws everything but that. */
export function unlessNoRoom(error: unknown): void {
  if (!isNoRoom(error)) throw error;
}

export const diskFull = (directory: string, cause: unknown): DbproxyError =>
  new DbproxyError(
    'DBP_ENV_DISK_FULL',
    { directory, disk: diskOf(directory), reason: reasonOf(cause) },
    { cause },
  );

/** Where its disk is mounted: the directory itself may be gone when somebody looks. */
export function diskOf(directory: string): string {
  const device = (path: string): number | undefined => {
    try {
      return statSync(path).dev;
    } catch {
      return undefined;
    }
  };
  let at = directory;
  while (device(at) === undefined && dirname(at) !== at) at = dirname(at);
  while (device(dirname(at)) === device(at) && dirname(at) !== at) at = dirname(at);
  return at;
}

/**
 * The same error, or DBP_ENV_DISK_FULL when that is what it comes from: it says so, or there is no room in that directory now. (A
 * server that could not write its WAL is gone; whoever talked to it only knows that.)
 */
export async function blamingFullDisk(directory: string, error: unknown): Promise<unknown> {
  if (error instanceof DbproxyError && error.code === 'DBP_ENV_DISK_FULL') return error;
  return isNoRoom(error) || (await isFull(directory)) ? diskFull(directory, error) : error;
}

/** Throws DBP_ENV_DISK_FULL: before something is ended whose successor could not write what it has to. */
export async function assertSomeRoom(directory: string): Promise<void> {
  if (await isFull(directory)) throw diskFull(directory, 'less than 1 MB is free');
}

async function isFull(directory: string): Promise<boolean> {
  const room = await statfs(directory).catch(() => null);
  return room !== null && room.bavail * room.bsize < SEGMENT_BYTES;
}

/** Without the log of a server. */
const reasonOf = (cause: unknown): string =>
  (cause instanceof Error ? cause.message : String(cause)).split('\n')[0] ?? '';
