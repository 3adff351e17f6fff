/**
 * Which processes belong to an engine, judged by what runs: every process of PostgreSQL works in its data directory.
 * A record may be stale (we died between the start and the writing), and so may postmaster.pid.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { isSameProcess, processIdentity } from '../../process-identity.js';
import type { EngineRecord, ProcessIdentity } from '../../types.js';
import { dataDirectoryOf } from './paths.js';

/** The engine's postmaster; null when it does not run. */
export function findPostmaster(engine: Pick<EngineRecord, 'directory' | 'process'>): ProcessIdentity | null {
  if (engine.process !== null && isSameProcess(engine.process)) return engine.process;
  const data = dataDirectoryOf(engine);
  const pid = postmasterPid(data);
  if (pid === null || !worksIn(pid, data)) return null;
  return processIdentity(pid);
}

/** The pid in postmaster.pid; null when there is none. */
export function postmasterPid(dataDirectory: string): number | null {
  const pid = Number.parseInt(lockFileLines(dataDirectory)[0] ?? '', 10);
  return Number.isSafeInteger(pid) && pid > 0 ? pid : null;
}

/** Does the postmaster say that it takes connections? (miscadmin.h, PM_STATUS_READY and PM_STATUS_STANDBY.) */
export function saysReady(dataDirectory: string): boolean {
  return ['ready', 'standby'].includes(lockFileLines(dataDirectory)[7]?.trim() ?? '');
}

function lockFileLines(dataDirectory: string): string[] {
  try {
    return readFileSync(join(dataDirectory, 'postmaster.pid'), 'utf8').split('\n');
  } catch {
    return [];
  }
}

/** Every process that works in the data directory: the postmaster, its children, orphans it left. Linux only. */
export function processesIn(dataDirectory: string): ProcessIdentity[] {
  if (process.platform !== 'linux') return [];
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && worksIn(Number(name), dataDirectory))
    .map((name) => processIdentity(Number(name)))
    .filter((identity) => identity !== null);
}

/** Pids of processes that run a program below `root`: they still need it. Linux only; of others' processes only as root. */
export function processesFrom(root: string): number[] {
  if (process.platform !== 'linux') return [];
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return readlinkSync(`/proc/${pid}/exe`).startsWith(`${realpathSync(root)}/`);
      } catch {
        return false;
      }
    });
}

function worksIn(pid: number, dataDirectory: string): boolean {
  if (process.platform !== 'linux') return commandOf(pid).includes(` -D ${dataDirectory} `);
  try {
    return (
      readlinkSync(`/proc/${pid}/cwd`) === realpathSync(dataDirectory) &&
      readlinkSync(`/proc/${pid}/exe`).endsWith('/postgres')
    );
  } catch {
    // It ended, or belongs to somebody else: then it is none of ours.
    return false;
  }
}

function commandOf(pid: number): string {
  return spawnSync('ps', ['-ww', '-o', 'command=', '-p', String(pid)], { encoding: 'utf8', timeout: 5_000 })
    .stdout;
}
