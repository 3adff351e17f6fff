/** A way to an engine on which, when asked to, a NotificationResponse comes in two pieces, the second when the test lets it go. */
import { connect, type Socket } from 'node:net';
import type { EngineRecord } from '../../src/engine/index.js';
import { Backend } from '../../src/protocol/index.js';
import { WayToEngine } from './way-to-engine.js';

/** Bytes of the first piece: in the middle of the header's length, or of the body. */
export type CutAt = 3 | 12;

export class CutMessages {
  #way!: WayToEngine;
  #cutAt: CutAt | null = null;
  #rest: (() => void) | null = null;

  static async before(engine: EngineRecord, directory: string): Promise<CutMessages> {
    const through = new CutMessages();
    through.#way = await WayToEngine.open(engine, directory, (socket, path) => through.#pass(socket, path));
    return through;
  }

  get route(): WayToEngine['route'] {
    return this.#way.route;
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

  close(): Promise<void> {
    return this.#way.close();
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
