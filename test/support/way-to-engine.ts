/** A Unix socket in front of an engine's own: what a proxy sends there, and gets from there, goes through a test's hands. */
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import type { EngineRecord } from '../../src/engine/index.js';
import { socketOf } from './clients.js';
import { routeTo } from './engines.js';

export class WayToEngine {
  readonly #server: Server;
  readonly #sockets: ReadonlySet<Socket>;
  /** For the proxy: leads to the engine through here. */
  readonly route: ReturnType<typeof routeTo>;

  private constructor(server: Server, sockets: ReadonlySet<Socket>, route: ReturnType<typeof routeTo>) {
    this.#server = server;
    this.#sockets = sockets;
    this.route = route;
  }

  /** `pass` gets every connection, and the path of the engine's own socket. */
  static async open(
    engine: EngineRecord,
    directory: string,
    pass: (socket: Socket, path: string) => void,
  ): Promise<WayToEngine> {
    const access = socketOf(engine);
    const name = `.s.PGSQL.${access.port}`;
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      pass(socket, join(access.directory, name));
    });
    await mkdir(directory);
    await once(server.listen(join(directory, name)), 'listening');
    return new WayToEngine(server, sockets, { ...routeTo(engine), access: { ...access, directory } });
  }

  async close(): Promise<void> {
    const closed = once(this.#server.close(), 'close');
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}
