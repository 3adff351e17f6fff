/** Our own detached processes: alive or not, and ending them. Always by pid and start time, never by name. */
import { setTimeout as delay } from 'node:timers/promises';
import { isSameProcess, processIdentity } from '../engine/index.js';
import type { ProcessIdentity } from '../engine/types.js';

const POLL_MS = 20;

/** Is that very process still there? No identity: no. */
export function isAlive(identity: ProcessIdentity | null | undefined): boolean {
  return identity ? isSameProcess(identity) : false;
}

/** Of this process; undefined where there is no /proc to tell it. */
export const selfIdentity = (): ProcessIdentity | undefined => processIdentity(process.pid) ?? undefined;

/** Waits until the process is gone; false when the bound passes first. */
export async function waitForExit(identity: ProcessIdentity, boundMs: number): Promise<boolean> {
  const end = performance.now() + boundMs;
  while (isAlive(identity)) {
    if (performance.now() > end) return false;
    await delay(POLL_MS);
  }
  return true;
}

/** SIGTERM, and SIGKILL when it has not gone within `graceMs`. True when there was something to end. */
export async function endProcess(
  identity: ProcessIdentity | null | undefined,
  graceMs: number,
): Promise<boolean> {
  if (!identity || !isAlive(identity)) return false;
  signal(identity, 'SIGTERM');
  if (await waitForExit(identity, graceMs)) return true;
  if (isAlive(identity)) signal(identity, 'SIGKILL');
  await waitForExit(identity, graceMs);
  return true;
}

function signal(identity: ProcessIdentity, name: NodeJS.Signals): void {
  try {
    process.kill(identity.pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
