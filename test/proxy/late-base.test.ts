/**
 * A session that comes shortly before everybody is held: its connection to the target is open, but what that has by its login
 * has not been read yet. Nothing is brought over before: it would be read as if the login had brought it.
 */
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { EngineRecord } from '../../src/engine/index.js';
import { Frontend } from '../../src/protocol/index.js';
import { emitFence, waitUntilReplayed } from '../../src/switchover/catch-up.js';
import { EngineLink } from '../../src/switchover/engine-link.js';
import { promote } from '../../src/switchover/promote.js';
import { directTo, eventually, withPg } from '../support/clients.js';
import { PASSWORD, TestEngines } from '../support/engines.js';
import { TestProxy } from '../support/proxies.js';
import { RawClient } from '../support/raw-client.js';
import { WayToEngine } from '../support/way-to-engine.js';

/** Of connections of `app`: what is answered to their first query, and to all that follow, waits for `letGo`. */
class SlowAnswers {
  way!: WayToEngine;
  /** Queries wait for their answer. */
  asked = false;
  #free = false;
  #waiting: (() => void)[] = [];

  static async before(engine: EngineRecord, directory: string): Promise<SlowAnswers> {
    const slow = new SlowAnswers();
    slow.way = await WayToEngine.open(engine, directory, (socket, path) => slow.#pass(socket, path));
    return slow;
  }

  letGo(): void {
    this.#free = true;
    for (const write of this.#waiting.splice(0)) write();
  }

  #pass(socket: Socket, path: string): void {
    const engine = connect(path);
    let isOurs = false;
    let asks = false;
    socket.on('data', (chunk: Buffer) => {
      isOurs ||= chunk.includes('user\0app\0');
      asks ||= isOurs && (chunk[0] === Frontend.Query || chunk[0] === Frontend.Parse);
      this.asked ||= asks;
      engine.write(chunk);
    });
    engine.on('data', (chunk: Buffer) => {
      if (!asks || this.#free) socket.write(chunk);
      else this.#waiting.push(() => socket.write(chunk));
    });
    socket.on('end', () => engine.end()).on('error', () => engine.destroy());
    engine.on('end', () => socket.end()).on('error', () => socket.destroy());
  }
}

let engines: TestEngines;
let primary: EngineRecord;
let standby: EngineRecord;
let proxy: TestProxy;
let slow: SlowAnswers;

beforeAll(async () => {
  engines = await TestEngines.open();
  primary = await engines.primary();
  await withPg(directTo(primary), (admin) => admin.query(`create role app login password '${PASSWORD}'`));
  standby = await engines.standbyOf(primary);
  proxy = await TestProxy.start(engines, primary);
  slow = await SlowAnswers.before(standby, join(engines.home, 'slow'));
}, 60_000);

afterAll(async () => {
  await proxy?.stop();
  await slow?.way.close();
  await engines?.close();
});

const hold = (): Promise<unknown> =>
  proxy.control.call('hold', {
    ...{ budgetMs: 10_000, unmovable: 'rollback', cancelTransactions: false, operation: 'test' },
  });

it('is not taken for what a login brings: another session that logs in alike gets its own, too', async () => {
  await proxy.control.call('warm', { target: slow.way.route, withinMs: 500 });
  const first = await RawClient.login(proxy.port, { user: 'app' });
  await eventually('its connection to be asked what it has', () => slow.asked);
  await first.query(`set work_mem = '7MB'`);
  expect(await hold()).toMatchObject({ held: true });
  await eventually('it to have been read', async () =>
    (await proxy.control.call('sessions', {})).every(({ unasked }) => unasked),
  );
  slow.letGo();
  await proxy.control.call('release', {});
  const second = await RawClient.login(proxy.port, { user: 'app' });
  await second.query(`set work_mem = '7MB'`);

  const [from, to] = await Promise.all([EngineLink.open(primary), EngineLink.open(standby)]);
  expect(await hold()).toMatchObject({ held: true });
  expect(await waitUntilReplayed(to, await emitFence(from), 5_000)).toBe(true);
  expect(await proxy.control.call('commit', {})).toEqual({ committed: true, unmovable: [] });
  await promote(to);
  expect(await proxy.control.call('move', {})).toMatchObject({ moved: 2, failed: [], lost: [] });
  await Promise.all([from.close(), to.close()]);
  for (const client of [first, second]) {
    expect((await client.query('show work_mem')).rows).toEqual([['7MB']]);
    client.close();
  }
});
