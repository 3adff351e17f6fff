/** The sockets on which clients come in: TCP, and a Unix socket if there is a directory for it. */
import { chmod, mkdir, rename, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { logLine } from '../log-line.js';
import type { ProxyConfig } from './control-api.js';
import { rawHandle, type RawHandle } from './raw-handle.js';

/** Connections the kernel keeps for us while we are busy. */
const BACKLOG = 1_024;

export type ListenerName = 'tcp' | 'unix';

type Where =
  | { readonly host: string; readonly port: number }
  | { readonly path: string }
  | { readonly fd: number }
  | RawHandle;

export class Listeners {
  readonly #config: Pick<ProxyConfig, 'host' | 'port' | 'socketDirectory'>;
  readonly #servers = new Map<ListenerName, Server>();
  readonly #accepted: (socket: Socket) => void;

  /** Accepted sockets are paused. */
  constructor(config: ProxyConfig, accepted: (socket: Socket) => void) {
    this.#config = config;
    this.#accepted = accepted;
  }

  /** Throws the listener's error (EADDRINUSE …). */
  async open(): Promise<void> {
    const { host, port, socketDirectory } = this.#config;
    await this.listenOn('tcp', { host, port });
    if (socketDirectory === null) return;
    await mkdir(socketDirectory, { recursive: true, mode: 0o700 });
    const path = this.#path(socketDirectory);
    // Under another name first: libuv removes the name it was bound to when this process closes the socket, which a
    // successor may have by then.
    const making = `${path}~`;
    await rm(making, { force: true });
    await this.listenOn('unix', { path: making });
    await chmod(making, 0o600);
    await rename(making, path);
  }

  /** Also on a listening socket that came from another process. */
  async listenOn(name: ListenerName, where: Where): Promise<void> {
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, this.#accepted);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      const begun = (): void => {
        server.removeListener('error', reject);
        // Running out of descriptors must not end the process; the next accept may succeed.
        server.on('error', (error) => logLine(`listener: ${error.message}`));
        resolve();
      };
      if ('onread' in where) server.listen(where, BACKLOG, begun);
      else server.listen({ ...where, backlog: BACKLOG }, begun);
    });
    this.#servers.set(name, server);
  }

  /** Of sockets that another process has opened, and that both accept on. */
  async share(listeners: readonly { readonly name: ListenerName; readonly fd: number }[]): Promise<void> {
    for (const { name, fd } of listeners) await this.listenOn(name, { fd });
  }

  /** For another process; it goes on to listen when this one has closed them. */
  get inheritable(): { readonly name: ListenerName; readonly handle: RawHandle }[] {
    return [...this.#servers].flatMap(([name, server]) => {
      const handle = rawHandle(server);
      return handle ? [{ name, handle }] : [];
    });
  }

  close(): void {
    for (const server of this.#servers.values()) server.close();
    this.#servers.clear();
  }

  /** The name in the file system, which `close` leaves: another process may listen there. */
  async removeName(): Promise<void> {
    const { socketDirectory } = this.#config;
    if (socketDirectory !== null) await rm(this.#path(socketDirectory), { force: true });
  }

  #path(socketDirectory: string): string {
    return `${socketDirectory}/.s.PGSQL.${this.#config.port}`;
  }
}
