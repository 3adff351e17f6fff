/**
 * Copies files that a server is writing. `cp` does it, not Node: fs.copyFile spins for ever when its source is truncated
 * under it (seen on Node 20), and a server truncates files whenever a table is dropped.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { throwIfAborted } from '../../wait.js';
import { CLEAN_ENVIRONMENT } from './initdb.js';
import { spawnIdentity, type ServerUser } from './server-user.js';
import { giveWay } from './yield-processor.js';

/** Where the file system can, blocks are shared until one of the two is changed. */
const CP = process.platform === 'darwin' ? ['-a', '-c'] : ['-a', '--reflink=auto'];

/** Of what `cp` says about files, this alone is normal: the server removed one between the listing and the copy. */
const VANISHED = /: No such file or directory$/;

interface CopyOptions {
  readonly user: ServerUser | null;
  readonly signal?: AbortSignal | undefined;
}

/** Copies the named entries of a directory, whole trees, owner and mode kept. It may take as long as the data is big. */
export async function copyAll(
  names: readonly string[],
  from: string,
  to: string,
  { user, signal }: CopyOptions,
): Promise<void> {
  if (names.length === 0) return;
  throwIfAborted(signal);
  const child = spawn('cp', [...CP, ...names.map((name) => join(from, name)), to], {
    ...spawnIdentity(user),
    cwd: '/',
    env: CLEAN_ENVIRONMENT,
    stdio: ['ignore', 'ignore', 'pipe'],
    // Clients go first: making a thousand files keeps a processor busy.
    detached: true,
  });
  giveWay(child.pid);
  const stop = (): boolean => child.kill('SIGKILL');
  signal?.addEventListener('abort', stop);
  try {
    const complaints = await complaintsOf(child.stderr);
    const code = await new Promise<number | null>((resolve, reject) => {
      if (child.exitCode !== null || child.signalCode !== null) resolve(child.exitCode);
      child.once('error', reject).once('exit', resolve);
    });
    throwIfAborted(signal);
    if (code !== 0 && complaints.length > 0) throw new Error(complaints.slice(0, 3).join('; '));
    if (code === null) throw new Error('cp was killed');
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

/** What `cp` said but for vanished files; not kept beyond the first lines. */
async function complaintsOf(stderr: NodeJS.ReadableStream): Promise<string[]> {
  const complaints: string[] = [];
  for await (const line of createInterface({ input: stderr })) {
    if (complaints.length < 10 && !VANISHED.test(line)) complaints.push(line);
  }
  return complaints;
}
