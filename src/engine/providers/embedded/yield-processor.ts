/**
 * A retired engine still has work to do: each of its backends unmaps all of the shared memory it has touched, some 3 ms of
 * CPU, and that at the very moment at which the clients' queued calls run on the new engine.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import { isSameProcess } from '../../process-identity.js';
import type { ProcessIdentity } from '../../types.js';

/** A tenth of the weight of the others: it goes on, slowly, where nothing else leaves it time. */
const NICE = 10;

/**
 * The postmaster and its children. Only on Linux: elsewhere they keep their priority. Each backend is a session of its own
 * (setsid), hence an autogroup where the kernel has them, and there a process's own nice value counts for nothing: sched(7).
 */
export function yieldProcessor(postmaster: ProcessIdentity): void {
  if (process.platform !== 'linux' || !isSameProcess(postmaster)) return;
  for (const pid of [postmaster.pid, ...childrenOf(postmaster.pid)]) giveWay(pid);
}

/** One process; it should be the leader of a session (spawned `detached`), or its whole autogroup gives way. */
export function giveWay(pid: number | undefined): void {
  if (process.platform !== 'linux' || pid === undefined) return;
  bestEffort(() => setPriority(pid, NICE));
  bestEffort(() => writeFileSync(`/proc/${pid}/autogroup`, String(NICE)));
}

/** What fails: it has just ended, or we may not, or there are no autogroups. Then it competes as it did before. */
function bestEffort(work: () => void): void {
  try {
    work();
  } catch {
    // See above.
  }
}

/** proc(5): needs CONFIG_PROC_CHILDREN, which distributions set. */
function childrenOf(pid: number): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim();
    return text === '' ? [] : text.split(' ').map(Number);
  } catch {
    return [];
  }
}
