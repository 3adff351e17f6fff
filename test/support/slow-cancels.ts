/** CancelRequests that take their time: each waits until the test lets it go. */
import { connect, type Socket } from 'node:net';
import type { EngineRecord } from '../../src/engine/index.js';
import { StartupCode } from '../../src/protocol/index.js';
import { WayToEngine } from './way-to-engine.js';

/** A way to an engine on which CancelRequests wait until they are let go. */
export class SlowCancels {
  #way!: WayToEngine;
  readonly #waiting: (() => void)[] = [];

  static async before(engine: EngineRecord, directory: string): Promise<SlowCancels> {
    const through = new SlowCancels();
    through.#way = await WayToEngine.open(engine, directory, (socket, path) => through.#pass(socket, path));
    return through;
  }

  get route(): WayToEngine['route'] {
    return this.#way.route;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  letGo(): void {
    for (const pass of this.#waiting.splice(0)) pass();
  }

  close(): Promise<void> {
    return this.#way.close();
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
