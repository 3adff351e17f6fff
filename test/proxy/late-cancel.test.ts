/** A CancelRequest that comes too late for its statement hits nothing of ours: who holds the session waits until it has arrived. */
import { mkdir } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { EngineRecord } from '../../src/engine/index.js';
import { StartupCode, encode } from '../../src/protocol/index.js';
import { eventually } from '../support/clients.js';
import { TestEngines, routeTo } from '../support/engines.js';
import { TestProxy } from '../support/proxies.js';
import { RawClient } from '../support/raw-client.js';

/** A way to an engine on which CancelRequests wait until they are let go. */
class SlowCancels {
  readonly #server: Server;
  readonly #waiting: (() => void)[] = [];
  readonly directory: string;

  private constructor(server: Server, directory: string) {
    this.#server = server;
    this.directory = directory;
  }

  static async before({ access }: EngineRecord, directory: string): Promise<SlowCancels> {
    if (access.kind !== 'socket') throw new Error('the engine has no socket');
    const name = `.s.PGSQL.${access.port}`;
    const server = createServer((socket) => way.#pass(socket, join(access.directory, name)));
    const way = new SlowCancels(server, directory);
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

let engines: TestEngines;
let engine: EngineRecord;
let way: SlowCancels;
let proxy: TestProxy;

beforeAll(async () => {
  engines = await TestEngines.open();
  engine = await engines.primary();
  way = await SlowCancels.before(engine, join(engines.home, 'slow'));
  proxy = await TestProxy.start(engines, null);
  const { port } = engine.access as { port: number };
  const access = { kind: 'socket', directory: way.directory, port } as const;
  await proxy.control.call('route', { engine: { ...routeTo(engine), access } });
});

afterAll(async () => {
  await proxy?.stop();
  await way?.close();
  await engines?.close();
});

it('a session is not looked at while its cancel is on the way, and is afterwards', async () => {
  const client = await RawClient.login(proxy.port);
  const canceler = await RawClient.connect(proxy.port);
  canceler.send(encode.cancelRequest(StartupCode.cancel, client.processId, client.secret));
  await eventually('the cancel to be on its way', () => way.waiting === 1);

  const [early] = await proxy.control.call('check', { withinMs: 100 });
  expect(early?.looked).toBe(false);
  expect(JSON.stringify(early)).toContain('has sent a cancel request that its engine has not taken yet');
  expect((await client.query('select 1')).rows).toEqual([['1']]);

  const late = proxy.control.call('check', { withinMs: 5_000 });
  way.letGo();
  expect((await late)[0]?.looked).toBe(true);
  expect((await client.query('select 2')).rows).toEqual([['2']]);
  canceler.close();
  client.close();
});
