/** The end of a child process that a test kills. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';

/** SIGKILL, if it runs still; resolves when it has ended. */
export async function killChild(child: ChildProcess | null | undefined): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}
