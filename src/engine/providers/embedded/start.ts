/**
 * Starts `postgres` on a data directory and waits until it answers a query.
 *
 * It is started directly (no pg_ctl), in a session of its own, its output straight to the log file: nothing ties it to us,
 * so it lives on when we die. A start that fails leaves nothing running.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DbproxyError } from '../../../errors/index.js';
import { blamingFullDisk } from '../../../errors/no-room.js';
import { askFacts, type ServerFacts } from '../../facts.js';
import { processIdentity } from '../../process-identity.js';
import type { EngineRecord, ProcessIdentity } from '../../types.js';
import { waitFor } from '../../wait.js';
import type { Binaries } from './binaries.js';
import { commandLine } from './configuration.js';
import { saysReady } from './find.js';
import { CLEAN_ENVIRONMENT } from './initdb.js';
import { logTail, openLog } from './log.js';
import { dataDirectoryOf, logFileOf } from './paths.js';
import { spawnIdentity, type ServerUser } from './server-user.js';
import { clearRemains, stopServer } from './stop.js';

/** After a crash a start replays up to max_wal_size of WAL first. */
export const READY_BOUND_MS = 60_000;

export type Startable = Pick<
  EngineRecord,
  'id' | 'postgres' | 'directory' | 'access' | 'superuser' | 'process'
>;

export interface StartedServer extends ServerFacts {
  readonly process: ProcessIdentity;
}

/** Throws DBP_ENGINE_START, with the end of the log; DBP_ENV_DISK_FULL. */
export async function startServer(
  engine: Startable,
  binaries: Binaries,
  user: ServerUser | null,
  signal?: AbortSignal,
  readyWithinMs = READY_BOUND_MS,
): Promise<StartedServer> {
  const startedAt = performance.now();
  await clearRemains({ ...engine, process: null });
  await clearSocket(engine);
  const { handle, from } = await openLog(logFileOf(engine));
  const child = spawnServer(engine, binaries, user, handle.fd);
  // Before anything is waited for: a server that ends at once would be waited for until the bound.
  const exit = watchExit(child);
  await handle.close();
  const postmaster = child.pid === undefined ? null : processIdentity(child.pid);
  try {
    const facts = await waitForAnswer(engine, exit, readyWithinMs, signal);
    if (postmaster === null) throw new Error('it was gone at once');
    return { process: postmaster, ...facts };
  } catch (cause) {
    await stopServer({ ...engine, process: postmaster }, 'immediate');
    if (cause instanceof DbproxyError && cause.code === 'DBP_INTERRUPTED') throw cause;
    const waitedMs = Math.round(performance.now() - startedAt);
    const log = await logTail(logFileOf(engine), from);
    const reason = (cause as Error).message;
    const error = new DbproxyError(
      'DBP_ENGINE_START',
      { engine: engine.id, waitedMs, reason, log },
      { cause },
    );
    throw await blamingFullDisk(engine.directory, error);
  }
}

/** A killed postmaster leaves its socket's lock file, and its pid counts as alive until somebody has collected it. */
async function clearSocket({ access }: Startable): Promise<void> {
  if (access.kind !== 'socket') return;
  const socket = join(access.directory, `.s.PGSQL.${access.port}`);
  await Promise.all([rm(socket, { force: true }), rm(`${socket}.lock`, { force: true })]);
}

function spawnServer(
  engine: Startable,
  binaries: Binaries,
  user: ServerUser | null,
  log: number,
): ChildProcess {
  if (engine.access.kind !== 'socket') throw new Error('an embedded engine has no TCP port');
  const identity = { id: engine.id, socketDirectory: engine.access.directory };
  const child = spawn(binaries.postgres, commandLine(dataDirectoryOf(engine), identity), {
    ...spawnIdentity(user),
    cwd: '/',
    env: CLEAN_ENVIRONMENT,
    detached: true,
    stdio: ['ignore', log, log],
  });
  child.unref();
  return child;
}

interface Exit {
  /** How it ended; null while it runs. */
  how: string | null;
}

function watchExit(child: ChildProcess): Exit {
  const exit: Exit = { how: null };
  child.on('error', (error) => (exit.how = error.message));
  child.on('exit', (code, signal) => (exit.how = signal === null ? `exit code ${code}` : `signal ${signal}`));
  return exit;
}

async function waitForAnswer(
  engine: Startable,
  exit: Exit,
  boundMs: number,
  signal?: AbortSignal,
): Promise<ServerFacts> {
  const data = dataDirectoryOf(engine);
  let last = 'it was not yet taking connections';
  const facts = await waitFor(
    async () => {
      if (exit.how !== null) throw new Error(`it ended with ${exit.how}`);
      // Asking earlier would only fill the log with refusals.
      if (!saysReady(data)) return undefined;
      try {
        return await askFacts(engine);
      } catch (error) {
        last = (error as Error).message;
        return undefined;
      }
    },
    { boundMs, everyMs: 5, signal },
  );
  if (facts === undefined) throw new Error(last);
  return facts;
}
