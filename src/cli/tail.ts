/** The end of a log file, and what is added to it. */
import { open, stat } from 'node:fs/promises';
import { StringDecoder } from 'node:string_decoder';
import { setTimeout as delay } from 'node:timers/promises';

const POLL_MS = 150;
const CHUNK_BYTES = 64 * 1024;

export interface Tail {
  readonly lines: readonly string[];
  /** Where the next byte will be. */
  readonly offset: number;
}

/** The last lines of a file; none when it does not exist yet. Reads from the end only as much as is needed. */
export async function lastLines(path: string, wanted: number): Promise<Tail> {
  const file = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (!file) return { lines: [], offset: 0 };
  try {
    const { size } = await file.stat();
    let start = size;
    let text: Buffer = Buffer.alloc(0);
    while (start > 0 && newlines(text) <= wanted) {
      const length = Math.min(CHUNK_BYTES, start);
      start -= length;
      const chunk = Buffer.alloc(length);
      await file.read(chunk, 0, length, start);
      text = Buffer.concat([chunk, text]);
    }
    const lines = text.toString('utf8').replace(/\n$/, '').split('\n');
    return { lines: size === 0 ? [] : lines.slice(-wanted), offset: size };
  } finally {
    await file.close();
  }
}

/** Calls back for every line that is added from `offset` on, until the signal; begins anew when the file is replaced. */
export async function followLines(
  path: string,
  offset: number,
  signal: AbortSignal,
  onLine: (line: string) => void,
): Promise<void> {
  let position = offset;
  let rest = '';
  // What is read may end within a character.
  const decoder = new StringDecoder('utf8');
  while (!signal.aborted) {
    const size = await stat(path).then(
      (found) => found.size,
      () => 0,
    );
    if (size < position) position = 0;
    if (size > position) {
      const lines = (rest + decoder.write(await readRange(path, position, size))).split('\n');
      rest = lines.pop() ?? '';
      position = size;
      lines.forEach(onLine);
    } else {
      await delay(POLL_MS, undefined, { signal }).catch(() => undefined);
    }
  }
}

async function readRange(path: string, from: number, to: number): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const buffer = Buffer.alloc(to - from);
    const { bytesRead } = await file.read(buffer, 0, buffer.length, from);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

const newlines = (text: Buffer): number => {
  let found = 0;
  for (const byte of text) if (byte === 0x0a) found++;
  return found;
};
