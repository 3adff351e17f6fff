/** What a process has used (Linux: proc(5)), and child processes that are there when they answer. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

const ANSWER_BOUND_MS = 10_000;
const STOP_BOUND_MS = 5_000;
/** USER_HZ, the unit of utime and stime: 100 on every Linux that Node runs on. */
const CLOCK_TICK_US = 10_000;

/** utime + stime of all threads since the start, µs. */
export async function cpuUs(pid: number): Promise<number> {
  const { userUs, kernelUs } = await cpuParts(pid);
  return userUs + kernelUs;
}

/** CPU of all threads since the start, µs, by where it went. */
export interface CpuParts {
  readonly userUs: number;
  readonly kernelUs: number;
}

export async function cpuParts(pid: number): Promise<CpuParts> {
  const fields = await statFields(pid);
  return { userUs: Number(fields[11]) * CLOCK_TICK_US, kernelUs: Number(fields[12]) * CLOCK_TICK_US };
}

/** /proc/PID/stat from its third field on: the command name (field 2) may hold spaces. */
async function statFields(pid: number): Promise<readonly string[]> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

/** µs of a process, of the children it has waited for, and of those that still run: a server whose sessions are processes. */
export async function cpuUsOfTree(root: number): Promise<number> {
  const all = new Map<number, readonly string[]>();
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const fields = await statFields(Number(name)).catch(() => null);
    if (fields) all.set(Number(name), fields);
  }
  const ticksOf = (pid: number): number => {
    const fields = all.get(pid) ?? [];
    const own = [11, 12, 13, 14].reduce((sum, at) => sum + Number(fields[at] ?? 0), 0);
    const children = [...all].filter(([, [, parent]]) => Number(parent) === pid);
    return children.reduce((sum, [child]) => sum + ticksOf(child), own);
  };
  return ticksOf(root) * CLOCK_TICK_US;
}

export { descriptorsOf, residentBytes } from '../../test/support/process-usage.js';
export { freePort } from '../../test/support/free-port.js';

export interface Server {
  readonly pid: number;
  stop(): Promise<void>;
}

/** Starts a server and waits until it accepts connections: on a port of loopback, or a Unix socket's path. */
export async function startServer(
  command: string,
  args: readonly string[],
  address: number | string,
  options: { env?: NodeJS.ProcessEnv; uid?: number; gid?: number } = {},
): Promise<Server> {
  const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  child.stdout?.on('data', (chunk: Buffer) => (log = (log + chunk.toString()).slice(-4_000)));
  child.stderr?.on('data', (chunk: Buffer) => (log = (log + chunk.toString()).slice(-4_000)));
  const endMs = performance.now() + ANSWER_BOUND_MS;
  while (!(await accepts(address))) {
    if (child.exitCode !== null) throw new Error(`${command} ended: ${log}`);
    if (performance.now() > endMs) {
      child.kill('SIGKILL');
      throw new Error(`${command} did not listen on ${address} within ${ANSWER_BOUND_MS} ms: ${log}`);
    }
    await delay(20);
  }
  return { pid: child.pid!, stop: () => stop(child) };
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const bound = setTimeout(() => child.kill('SIGKILL'), STOP_BOUND_MS);
  await ended;
  clearTimeout(bound);
}

const accepts = (address: number | string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = typeof address === 'number' ? connect(address, '127.0.0.1') : connect(address);
    socket.once('connect', () => (socket.destroy(), resolve(true)));
    socket.once('error', () => resolve(false));
  });
