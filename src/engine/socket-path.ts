/** Where a server makes its Unix socket in a directory, and how long that path may be. */
import { join } from 'node:path';
import { POSTGRES_PORT } from './configuration.js';

/** Of the path of a Unix socket, without the final NUL (sockaddr_un: 108 bytes on Linux, 104 on macOS). */
export const MAX_SOCKET_PATH_BYTES = process.platform === 'darwin' ? 103 : 107;

export const socketPath = (directory: string): string => join(directory, `.s.PGSQL.${POSTGRES_PORT}`);
