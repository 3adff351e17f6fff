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
  /** For the proxy: leads to the engine through here. */
  readonly route: ReturnType<typeof routeTo>;

  private constructor(server: Server, route: ReturnType<typeof routeTo>) {
    this.#server = server;
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
    const server = createServer((socket) => pass(socket, join(access.directory, name)));
    await mkdir(directory);
    await once(server.listen(join(directory, name)), 'listening');
    return new WayToEngine(server, { ...routeTo(engine), access: { ...access, directory } });
  }

  async close(): Promise<void> {
    this.#server.close();
    await once(this.#server, 'close');
  }
}
