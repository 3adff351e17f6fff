/** CancelRequests that take their time: each waits until the test lets it go. */
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import type { EngineRecord } from '../../src/engine/index.js';
import { StartupCode } from '../../src/protocol/index.js';
import { routeTo } from './engines.js';

/** A way to an engine on which CancelRequests wait until they are let go. */
export class SlowCancels {
  readonly #server: Server;
  readonly #waiting: (() => void)[] = [];
  /** For the proxy: leads to the engine through here. */
  readonly route: ReturnType<typeof routeTo>;

  private constructor(server: Server, route: ReturnType<typeof routeTo>) {
    this.#server = server;
    this.route = route;
  }

  static async before(engine: EngineRecord, directory: string): Promise<SlowCancels> {
    const { access } = engine;
    if (access.kind !== 'socket') throw new Error('the engine has no socket');
    const name = `.s.PGSQL.${access.port}`;
    const server = createServer((socket) => way.#pass(socket, join(access.directory, name)));
    const way = new SlowCancels(server, { ...routeTo(engine), access: { ...access, directory } });
    await mkdir(directory);
    await once(server.listen(join(directory, name)), 'listening');
    return way;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  letGo(): void {
    for (const pass of this.#waiting.splice(0)) pass();
  }

  async close(): Promise<void> {
    this.#server.close();
    await once(this.#server, 'close');
  }

  #pass(socket: Socket, path: string): void {
    socket.once('data', (first: Buffer) => {
      const pass = (): void => {
        const engine = connect(path);
        engine.write(first);
        socket.pipe(engine).pipe(socket);
        socket.on('error', () => engine.destroy());
        engine.on('error', () => socket.destroy());
      };
      if (first.readInt32BE(4) === StartupCode.cancel) this.#waiting.push(pass);
      else pass();
    });
  }
}
