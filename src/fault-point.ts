/**
 * Fault injection for tests: a process of ours stops at a named step, so that a test can kill something there.
 *
 * `DBPROXY_TEST_PAUSE_AT=drain` waits at that step until the process is killed; `DBPROXY_TEST_PAUSE_AT=drain@/some/file`
 * waits until that file exists, and says so in `/some/file.reached`. A step of an operation is on disk (`operation.json`,
 * `events.ndjson`) when the wait begins. Without the variable this costs one comparison.
 */
import { access, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

const POLL_MS = 5;
const [pauseAt, untilFile] = (process.env.DBPROXY_TEST_PAUSE_AT ?? '').split('@');

/** `written`: what has to be on disk before the wait begins. */
export async function faultPoint(step: string, written?: Promise<void>): Promise<void> {
  if (step !== pauseAt) return;
  await written;
  if (untilFile) await writeFile(`${untilFile}.reached`, '');
  while (!(await exists(untilFile))) await delay(POLL_MS);
}

async function exists(file: string | undefined): Promise<boolean> {
  if (!file) return false;
  return access(file).then(
    () => true,
    () => false,
  );
}
