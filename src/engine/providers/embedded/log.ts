/** The log of an engine: PostgreSQL's standard error, appended to by every start. */
import { open, rename, stat, type FileHandle } from 'node:fs/promises';

/** Lines of the log that go with an error. */
const TAIL_LINES = 40;
const TAIL_BYTES = 64 * 1024;

/**
 * At a start, a log that has grown over this becomes `engine.log.1` (one old one is kept). While the engine runs its log
 * is not cut: it grows with what the user makes it log.
 */
const ROTATE_BYTES = 32 * 1024 * 1024;

/** Opens the log to append; `from` is where this start's lines begin. */
export async function openLog(logFile: string): Promise<{ handle: FileHandle; from: number }> {
  const size = await sizeOf(logFile);
  const rotate = size > ROTATE_BYTES;
  if (rotate) await rename(logFile, `${logFile}.1`);
  return { handle: await open(logFile, 'a', 0o600), from: rotate ? 0 : size };
}

/** The last lines from `from` on; empty when there is no log. */
export async function logTail(logFile: string, from = 0): Promise<string> {
  const end = await sizeOf(logFile);
  const start = Math.max(from, end - TAIL_BYTES);
  if (end <= start) return '';
  const handle = await open(logFile, 'r');
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(end - start), 0, end - start, start);
    return buffer.toString('utf8', 0, bytesRead).trimEnd().split('\n').slice(-TAIL_LINES).join('\n');
  } finally {
    await handle.close();
  }
}

async function sizeOf(logFile: string): Promise<number> {
  return (await stat(logFile).catch(() => null))?.size ?? 0;
}
