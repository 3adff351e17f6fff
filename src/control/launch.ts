/** Starts a supervisor, detached, and waits until its socket answers. The caller holds the instance's lock. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { DbproxyError } from '../errors/index.js';
import { blamingFullDisk } from '../errors/no-room.js';
import type { InstanceDirectory } from './instance-directory.js';
import { engineCache } from './paths.js';

/** From src/control as from dist/control this is the built supervisor. */
export const SUPERVISOR_MAIN = fileURLToPath(new URL('../../dist/control/main.js', import.meta.url));
/** Of a supervisor, a proxy or a storage node. As long as an engine may take (READY_BOUND_MS): a machine at its limit starts a process in tens of seconds. Its end is seen at once. */
export const START_BOUND_MS = 60_000;
const POLL_MS = 10;
const LOG_TAIL_LINES = 15;

/** `onSpawned`: from now on it goes on without us. One that does not answer in time is ended. Throws DBP_INSTANCE_START_FAILED with the end of the supervisor's log. */
export async function launchSupervisor(
  directory: InstanceDirectory,
  { onSpawned, boundMs = START_BOUND_MS }: { onSpawned?: () => void; boundMs?: number } = {},
): Promise<void> {
  const { paths } = directory;
  await directory.create();
  // What its predecessor left: whoever answers from here on is the new one.
  await rm(paths.supervisorSocket, { force: true });
  const log = await open(paths.supervisorLog, 'a', 0o600);
  const { size: before } = await log.stat();
  try {
    const child = spawn(process.execPath, [SUPERVISOR_MAIN, '--instance', paths.name], {
      detached: true,
      // Not the directory of whoever typed `up`: it must stay possible to remove or unmount that.
      cwd: '/',
      stdio: ['ignore', log.fd, log.fd],
      env: { ...process.env, DBPROXY_HOME: paths.home, DBPROXY_CACHE: engineCache() },
    });
    child.unref();
    onSpawned?.();
    const failed = once(child, 'error').then(([error]) => Promise.reject(error as Error));
    failed.catch(() => undefined);
    const answered = async (): Promise<void> => {
      const end = performance.now() + boundMs;
      while (!(await answers(paths.supervisorSocket))) {
        if (child.exitCode !== null || child.signalCode !== null) {
          throw new Error(`the supervisor ended (${child.signalCode ?? `exit ${child.exitCode}`})`);
        }
        if (performance.now() > end) {
          child.kill('SIGKILL');
          throw new Error(`the supervisor did not answer within ${boundMs} ms`);
        }
        await delay(POLL_MS);
      }
    };
    await Promise.race([answered(), failed]);
  } catch (cause) {
    const reason = `${(cause as Error).message}\n${await tail(paths.supervisorLog, before)}`;
    const error = new DbproxyError('DBP_INSTANCE_START_FAILED', { name: paths.name, reason }, { cause });
    // Its log could not be written either.
    throw await blamingFullDisk(paths.directory, error);
  } finally {
    await log.close();
  }
}

function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** Of what came behind those bytes: its predecessors have written there, too. */
async function tail(file: string, before: number): Promise<string> {
  const log = await readFile(file).catch(() => Buffer.alloc(0));
  return log.subarray(before).toString('utf8').trimEnd().split('\n').slice(-LOG_TAIL_LINES).join('\n');
}
