/**
 * Is a process still the one we started? A pid is used again after its process ended, so a pid is only trusted together
 * with the start time of its process. Linux reads /proc; elsewhere `ps` is asked.
 *
 * The answers are synchronous on purpose: between the look and the signal nothing else of ours can run.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import type { ProcessIdentity } from './types.js';

/** The fields of /proc/PID/stat that we use; numbered as in proc(5). */
export interface ProcessStat {
  /** Field 3: `R`, `S`, …; `Z` and `X` are dead processes that nobody has collected yet. */
  readonly state: string;
  /** Field 4. */
  readonly parentPid: number;
  /** Fields 14 and 15, clock ticks of the process itself. */
  readonly ownTicks: number;
  /** Fields 16 and 17, clock ticks of its children that ended and were waited for. */
  readonly childrenTicks: number;
  /** Field 22, clock ticks since boot. */
  readonly startTime: string;
}

/** /proc/PID/stat, or null when there is no such process. Linux only. */
export function readProcessStat(pid: number): ProcessStat | null {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return null;
  }
  // Field 2 is the command's name in parentheses and may itself hold spaces and parentheses: count from the last one.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const field = (number: number): string => fields[number - 3] ?? '';
  return {
    state: field(3),
    parentPid: Number(field(4)),
    ownTicks: Number(field(14)) + Number(field(15)),
    childrenTicks: Number(field(16)) + Number(field(17)),
    startTime: field(22),
  };
}

/** `ps -o stat=,lstart=`: the start time as text, to the second. For systems without /proc. */
function startTimeFromPs(pid: number): string | null {
  const ps = spawnSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'] ?? '', LC_ALL: 'C' },
    timeout: 5_000,
  });
  const [, state, startTime] = /^\s*(\S+)\s+(.+?)\s*$/.exec(ps.stdout ?? '') ?? [];
  return state === undefined || startTime === undefined || state.startsWith('Z') ? null : startTime;
}

/** The identity of a running process; null when it does not run (a zombie does not). */
export function processIdentity(pid: number): ProcessIdentity | null {
  if (!Number.isSafeInteger(pid) || pid <= 0) return null;
  if (process.platform !== 'linux') {
    const startTime = startTimeFromPs(pid);
    return startTime === null ? null : { pid, startTime };
  }
  const stat = readProcessStat(pid);
  if (stat === null || stat.state === 'X') return null;
  return stat.state === 'Z' && !hasOtherThreads(pid) ? null : { pid, startTime: stat.startTime };
}

/**
 * Of a killed process the first thread may be a zombie while others still end: until the last of them has, its files are open and its
 * sockets take connections.
 */
function hasOtherThreads(pid: number): boolean {
  try {
    return readdirSync(`/proc/${pid}/task`).length > 1;
  } catch {
    return false;
  }
}

/** Does this very process still run? */
export function isSameProcess(identity: ProcessIdentity): boolean {
  return processIdentity(identity.pid)?.startTime === identity.startTime;
}

/** Sends a signal to this very process; false when it no longer runs. Throws EPERM when it belongs to somebody else. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!isSameProcess(identity)) return false;
  try {
    return process.kill(identity.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}
