/** The wire of live sessions as it is told: what the client sent and read, byte counts included, through a move as well. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EngineRecord } from '../../src/engine/index.js';
import { encode } from '../../src/protocol/index.js';
import type { ProxyApi, TraceLine } from '../../src/proxy/control-api.js';
import { RpcClient } from '../../src/rpc/index.js';
import { eventually } from '../support/clients.js';
import { TestEngines } from '../support/engines.js';
import { TestProxy, moveTo } from '../support/proxies.js';
import { RawClient } from '../support/raw-client.js';

let engines: TestEngines;
let primary: EngineRecord;
let proxy: TestProxy;

beforeAll(async () => {
  engines = await TestEngines.open();
  primary = await engines.primary();
  proxy = await TestProxy.start(engines, primary);
});

afterAll(async () => {
  await proxy?.stop();
  expect(proxy?.log).toBe('');
  await engines?.close();
});

class Watcher {
  readonly lines: TraceLine[] = [];
  readonly over: Promise<null>;
  readonly #rpc: RpcClient<ProxyApi>;

  private constructor(rpc: RpcClient<ProxyApi>, request: ProxyApi['trace']['params']) {
    this.#rpc = rpc;
    this.over = rpc.call('trace', request, { onProgress: ({ lines }) => void this.lines.push(...lines) });
    this.over.catch(() => undefined);
  }

  /** It looks when this resolves: calls are answered in order. */
  static async open(request: ProxyApi['trace']['params']): Promise<Watcher> {
    const rpc = await RpcClient.connect<ProxyApi>(proxy.controlSocket);
    const watcher = new Watcher(rpc, request);
    await rpc.call('status', {});
    return watcher;
  }

  /** Those up to the n-th ReadyForQuery. */
  async upToReady(count: number): Promise<string[]> {
    return eventually(`${count} ReadyForQuery`, () => {
      const ready = this.lines.filter(({ name }) => name === 'ReadyForQuery').length;
      const text = this.lines.map(
        ({ direction, bytes, name, fields }) => `${direction} ${bytes} ${name}${fields}`,
      );
      return Promise.resolve(ready >= count ? text : null);
    });
  }

  close(): void {
    this.#rpc.close();
  }
}

const idOfNewest = async (): Promise<number> =>
  Math.max(...(await proxy.control.call('sessions', {})).map(({ id }) => id));

describe('trace', () => {
  it('tells what one session says and hears, without values unless they are asked for', async () => {
    const client = await RawClient.login(proxy.port);
    const other = await RawClient.login(proxy.port);
    const session = (await idOfNewest()) - 1;
    const [quiet, open] = await Promise.all([
      Watcher.open({ session, values: false }),
      Watcher.open({ session, values: true }),
    ]);
    await other.query('select 3');
    client.send(
      encode.parse('', 'select $1::text'),
      encode.bind('', '', ['hush']),
      encode.execute(),
      encode.sync(),
    );
    await client.answer();
    expect(await open.upToReady(1)).toEqual([
      'F 23 Parse "" "select $1::text" 0',
      `F 20 Bind "" "" 0 1 4 'hush' 0`,
      'F 9 Execute "" 0',
      'F 4 Sync',
      'B 4 ParseComplete',
      'B 4 BindComplete',
      `B 14 DataRow 1 4 'hush'`,
      'B 13 CommandComplete "SELECT 1"',
      'B 5 ReadyForQuery I',
    ]);
    expect((await quiet.upToReady(1)).join()).not.toContain('hush');
    expect(await quiet.upToReady(1)).toContain(`B 14 DataRow 1 4 '…'`);

    client.close();
    expect(await Promise.all([quiet.over, open.over])).toEqual([null, null]);
    other.close();
    quiet.close();
    open.close();
  });

  it('goes on through a move, of sessions that come later, too, and ends with its caller', async () => {
    const watcher = await Watcher.open({ values: true });
    const client = await RawClient.login(proxy.port);
    await client.query('set application_name = traced');
    await watcher.upToReady(1);
    const target = await engines.standbyOf(primary);
    await moveTo(proxy, primary, target);
    await client.query('show application_name');
    const lines = await watcher.upToReady(2);
    expect(lines.filter((line) => line.startsWith('F'))).toEqual([
      'F 34 Query "set application_name = traced"',
      'F 26 Query "show application_name"',
    ]);
    // What the move itself asks is between the proxy and its engines. The new engine may report a setting with its first answer.
    const asked = lines.findIndex((line) => line.includes('show application_name'));
    const answer = lines.slice(asked + 1).filter((line) => !line.includes('ParameterStatus'));
    expect(answer.map((line) => line.split(' ')[2])).toEqual([
      expect.stringMatching(/^RowDescription/),
      'DataRow',
      'CommandComplete',
      'ReadyForQuery',
    ]);
    expect(answer[1]).toBe(`B 16 DataRow 1 6 'traced'`);

    watcher.close();
    await client.query('select 1');
    client.close();
    await eventually('the session to be gone', async () =>
      (await proxy.control.call('sessions', {})).length === 0 ? true : null,
    );
  });

  it('of a session that is not there: an error', async () => {
    await expect(proxy.control.call('trace', { session: 999, values: false })).rejects.toMatchObject({
      code: 'DBP_USAGE_UNKNOWN_SESSION',
    });
  });

  it('keeps nobody waiting for a reader that does not read', async () => {
    const { connect } = await import('node:net');
    const socket = connect(proxy.controlSocket);
    socket.write(`${JSON.stringify({ id: 1, method: 'trace', params: { values: true } })}\n`);
    socket.pause();
    const client = await RawClient.login(proxy.port);
    const { rows } = await client.query(`select repeat('x', 1000) from generate_series(1, 30000)`);
    expect(rows.length).toBe(30_000);
    expect((await client.query('select 1')).status).toBe('I');
    socket.destroy();
    client.close();
  });
});
