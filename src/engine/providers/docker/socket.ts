/**
 * A Unix socket of the server in a container, in a directory of ours. The published port leads through a program of the runtime
 * that copies every byte (docker-proxy): with 16 clients it took a third to a half of the transactions (docs/performance.md). Where
 * containers run on this very kernel the socket serves as well as that of an embedded engine; elsewhere, as in the virtual machine
 * of a Mac, the port is the way.
 */
import { chmod, mkdir, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { release } from 'node:os';
import { dirname, join } from 'node:path';
import { DbproxyError } from '../../../errors/index.js';
import { POSTGRES_PORT } from '../../configuration.js';
import { MAX_SOCKET_PATH_BYTES, socketPath } from '../../socket-path.js';
import type { SocketAccess } from '../../types.js';
import { answered, type Runtime } from './runtime.js';

/** Where the directory is mounted. */
export const SOCKETS = '/dbproxy-socket';
const CONNECT_BOUND_MS = 1_000;

/**
 * An empty directory for the server's socket: `parent`, which nobody else can enter, and in it one that the server's user can write
 * to, whatever its number. Undefined: there is no such way here.
 */
export async function makeSocketDirectory(
  { docker }: Pick<Runtime, 'docker'>,
  parent: string,
): Promise<SocketAccess | undefined> {
  const directory = join(parent, 's');
  if (Buffer.byteLength(socketPath(directory)) > MAX_SOCKET_PATH_BYTES) return undefined;
  const { KernelVersion } = (await answered(docker.version())) as { KernelVersion?: string };
  if (process.platform !== 'linux' || KernelVersion !== release()) return undefined;
  try {
    await mkdir(parent, { recursive: true, mode: 0o700 });
    await chmod(parent, 0o700);
    // A server that was killed leaves its socket, and the lock of it.
    await rm(directory, { recursive: true, force: true });
    await mkdir(directory);
    await chmod(directory, 0o777);
    return { kind: 'socket', directory, port: POSTGRES_PORT };
  } catch {
    return undefined;
  }
}

export const parentOf = ({ directory }: SocketAccess): string => dirname(directory);

/** The server has made it, and it is the same here as there. */
export function answers({ directory }: SocketAccess): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath(directory));
    const timer = setTimeout(() => done(false), CONNECT_BOUND_MS);
    const done = (how: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(how);
    };
    socket.once('connect', () => done(true)).once('error', () => done(false));
  });
}

/**
 * Starts a server with the socket, and without one where it could not make it there: a file system or a policy that allows none.
 * `undo` comes between the two.
 */
export async function withSocket<T>(
  socket: SocketAccess | undefined,
  start: (socket: SocketAccess | undefined) => Promise<T>,
  undo: () => Promise<void> = async () => undefined,
): Promise<T> {
  try {
    return await start(socket);
  } catch (error) {
    if (socket === undefined || !blames(error)) throw error;
    await undo();
    return start(undefined);
  }
}

/** PostgreSQL's words (pqcomm.c, miscinit.c); that it listens there is in every log. */
const NOT_MADE = new RegExp(`could not [^\\n]*"${SOCKETS}/`);

const blames = (error: unknown): boolean =>
  error instanceof DbproxyError && NOT_MADE.test(Object.values(error.details).join('\n'));
