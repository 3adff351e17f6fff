/**
 * What becomes of what we write. A reader that has gone (`| head -1`) is no failure, and there is nobody to tell of it; a full disk
 * under stdout is one. That stderr cannot be written must not end an operation in its middle.
 */
// Loaded now, so that its handler is there when it is taken away.
import '@oclif/core/command';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { reasonOf } from '../errors/file.js';
import { DbproxyError } from '../errors/index.js';

/** What a command ends with whose output nobody reads: no failure, and nothing to say to anybody. */
export class ReaderGone extends Error {}

let failure: NodeJS.ErrnoException | null = null;

/** In place of the framework's handler, which throws out of the event: a stack trace, whatever the command is doing. */
export function takeOverStreams(): void {
  process.stdout.removeAllListeners('error').on('error', (error: Error) => (failure ??= error));
  process.stderr.on('error', () => undefined);
}

export const whyUnwritable = (error: NodeJS.ErrnoException): ReaderGone | DbproxyError =>
  error.code === 'EPIPE'
    ? new ReaderGone()
    : new DbproxyError('DBP_ENV_OUTPUT', { reason: reasonOf(error) }, { cause: error });

/** Resolves when all has been written, with what was in the way of it. */
export async function drained(): Promise<ReaderGone | DbproxyError | null> {
  await Promise.all([written(process.stdout), written(process.stderr)]);
  // The event comes some ticks after the write.
  await nextTurn();
  return failure && whyUnwritable(failure);
}

const written = (stream: NodeJS.WriteStream): Promise<void> =>
  new Promise((resolve) => {
    // Nothing is written where nothing was: a full disk refuses even that.
    if (stream.destroyed || !stream.writable || stream.writableLength === 0) return resolve();
    stream.write('', () => resolve());
  });
