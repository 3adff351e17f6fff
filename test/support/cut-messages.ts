/** A way to an engine on which, when asked to, a NotificationResponse comes in two pieces, the second when the test lets it go. */
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import type { EngineRecord } from '../../src/engine/index.js';
import { Backend } from '../../src/protocol/index.js';
import { socketOf } from './clients.js';
import { routeTo } from './engines.js';

/** Bytes of the first piece: in the middle of the header's length, or of the body. */
export type CutAt = 3 | 12;

export class CutMessages {
  readonly #server: Server;
  #cutAt: CutAt | null = null;
  #rest: (() => void) | null = null;
  /** For the proxy: leads to the engine through here. */
  readonly route: ReturnType<typeof routeTo>;

  private constructor(server: Server, route: ReturnType<typeof routeTo>) {
    this.#server = server;
    this.route = route;
  }

  static async before(engine: EngineRecord, directory: string): Promise<CutMessages> {
    const access = socketOf(engine);
    const name = `.s.PGSQL.${access.port}`;
    const server = createServer((socket) => way.#pass(socket, join(access.directory, name)));
    const way = new CutMessages(server, { ...routeTo(engine), access: { ...access, directory } });
    await mkdir(directory);
    await once(server.listen(join(directory, name)), 'listening');
    return way;
  }

  /** The next one is cut. */
  cut(at: CutAt): void {
    this.#cutAt = at;
  }

  /** The first piece is on its way. */
  get isCut(): boolean {
    return this.#rest !== null;
  }

  letGo(): void {
    this.#rest?.();
    this.#rest = null;
  }

  async close(): Promise<void> {
    this.#server.close();
    await once(this.#server, 'close');
  }

  #pass(socket: Socket, path: string): void {
    const engine = connect(path);
    socket.pipe(engine);
    engine.on('data', (chunk: Buffer) => {
      // Said unasked, it comes by itself.
      if (this.#cutAt === null || chunk[0] !== Backend.NotificationResponse) socket.write(chunk);
      else {
        const rest = chunk.subarray(this.#cutAt);
        socket.write(chunk.subarray(0, this.#cutAt));
        this.#cutAt = null;
        this.#rest = () => void socket.write(rest);
      }
    });
    engine.on('end', () => socket.end()).on('error', () => socket.destroy());
    socket.on('error', () => engine.destroy());
  }
}
