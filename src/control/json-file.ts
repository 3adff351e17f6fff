/** JSON files that survive a crash at any moment, and that are checked when they are read. */
import { open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { z } from 'zod';
import { DbproxyError } from '../errors/index.js';
import { diskFull, isNoRoom } from '../errors/no-room.js';

let temporaryNumber = 0;

/**
 * Replaces `path` in one step: readers see the old content or the new one. `durable` also survives a power cut (two
 * fsyncs, some ms); without it only the death of processes, which is all that matters while clients are held.
 */
export async function writeJson(path: string, value: unknown, { durable = true } = {}): Promise<void> {
  const temporary = `${path}.${process.pid}.${temporaryNumber++}.tmp`;
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(`${JSON.stringify(value, null, 2)}\n`);
      if (durable) await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true });
    if (isNoRoom(cause)) throw diskFull(dirname(path), cause);
    throw new DbproxyError(
      'DBP_ENV_DIRECTORY',
      { directory: dirname(path), reason: (cause as Error).message },
      { cause },
    );
  }
  if (durable) await syncDirectory(dirname(path));
}

/** Null when there is no such file. Throws DBP_ENV_DIRECTORY; DBP_INSTANCE_DAMAGED, and leaves the file as it is, when it is not as it should be. */
export async function readJson<T>(path: string, schema: z.ZodType<T>): Promise<T | null> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') return null;
    // Not the file's own trouble: what is above it is no directory, may not be passed, or cannot be at all.
    if (code === 'ENOTDIR' || code === 'EACCES' || code === 'ENAMETOOLONG')
      throw new DbproxyError('DBP_ENV_DIRECTORY', { directory: dirname(path), reason: message }, { cause });
    throw new DbproxyError(
      'DBP_INSTANCE_DAMAGED',
      { file: path, reason: (cause as Error).message },
      { cause },
    );
  }
  return parseJson(path, text, schema);
}

function parseJson<T>(path: string, text: string, schema: z.ZodType<T>): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new DbproxyError(
      'DBP_INSTANCE_DAMAGED',
      { file: path, reason: (cause as Error).message },
      { cause },
    );
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const reason = issue ? `${issue.path.join('.') || 'the whole'}: ${issue.message}` : 'wrong form';
  throw new DbproxyError('DBP_INSTANCE_DAMAGED', { file: path, reason });
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
