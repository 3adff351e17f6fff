/** Do these binaries run here, as the user that engines run as? */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { DbproxyError } from '../../../../errors/index.js';
import { blockedAt, spawnIdentity, type ServerUser } from '../server-user.js';

const run = promisify(execFile);
const RUN_BOUND_MS = 10_000;

/** Throws DBP_ENV_DIRECTORY, naming the directory that is in the way. */
export async function assertReachable(root: string, user: ServerUser | null): Promise<void> {
  const blocked = await blockedAt(root, user);
  if (blocked === null) return;
  const reason = `the user ${user?.name ?? ''} that engines run as may not pass it`;
  throw new DbproxyError('DBP_ENV_DIRECTORY', { directory: blocked, reason });
}

/** What the binary says that it is, `17.10`; a missing library of the system shows here, by name. Throws DBP_ENV_NO_PROVIDER. */
export async function tryOut(root: string, user: ServerUser | null): Promise<string> {
  const postgres = join(root, 'native/bin/postgres');
  try {
    const { stdout } = await run(postgres, ['--version'], {
      ...spawnIdentity(user),
      cwd: '/',
      timeout: RUN_BOUND_MS,
    });
    const version = /\d+\.\d+/.exec(stdout)?.[0];
    if (version !== undefined) return version;
    throw new Error(`unexpected version "${stdout.trim()}"`);
  } catch (cause) {
    const { message, stderr } = cause as Error & { stderr?: string };
    const reason = `${postgres} does not run: ${(stderr ?? '').trim() || message}`;
    throw new DbproxyError('DBP_ENV_NO_PROVIDER', { reason }, { cause });
  }
}
