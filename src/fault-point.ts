/**
 * Fault injection for tests: a process of ours stops at a named step, so that a test can kill something there.
 *
 * `DBPROXY_TEST_PAUSE_AT=drain` waits at that step until the process is killed; `DBPROXY_TEST_PAUSE_AT=drain@/some/file`
 * waits until that file exists, and says so in `/some/file.reached`. A step of an operation is on disk (`operation.json`,
 * `events.ndjson`) when the wait begins. Without the variable this costs one comparison.
 */
import { writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { exists } from './exists.js';

const POLL_MS = 5;
const [pauseAt, untilFile] = (process.env.DBPROXY_TEST_PAUSE_AT ?? '').split('@');

/** `written`: what has to be on disk before the wait begins. */
export async function faultPoint(step: string, written?: Promise<void>): Promise<void> {
  if (step !== pauseAt) return;
  await written;
  if (untilFile) await writeFile(`${untilFile}.reached`, '');
  while (!untilFile || !(await exists(untilFile))) await delay(POLL_MS);
}
