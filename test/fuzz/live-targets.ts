/**
 * Hostile clients of a proxy that serves: it neither ends nor hangs nor grows nor writes anything to its log, and a session
 * beside it is served all the time, with its own answers, and is never canceled.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import fc from 'fast-check';
import type pg from 'pg';
import { AuthCode, Backend, PROTOCOL_3_0, SCRAM_MECHANISM, encode } from '../../src/protocol/index.js';
import { residentBytes } from '../support/process-usage.js';
import { connectPg, eventually } from '../support/clients.js';
import { PASSWORD, TestEngines } from '../support/engines.js';
import { TestProxy } from '../support/proxies.js';
import { RawClient } from '../support/raw-client.js';
import { bytes, cancelRequest, messages, startups } from './inputs.js';
import { property, type Target } from './target.js';

const MB = 1024 * 1024;
const MOST_GROWTH_BYTES = 64 * MB;
const MOST_WAIT_MS = 2_000;
const END_MS = 10_000;
/** Attacks at a time. */
const AT_ONCE = 4;

class Besieged {
  readonly proxy: TestProxy;
  readonly #engines: TestEngines;
  readonly #bystander: pg.Client;
  readonly #watching: Promise<number>;
  #over = false;
  #before = 0;

  private constructor(engines: TestEngines, proxy: TestProxy, bystander: pg.Client) {
    this.#engines = engines;
    this.proxy = proxy;
    this.#bystander = bystander;
    this.#watching = this.#watch();
    this.#watching.catch(() => undefined);
  }

  static async open(): Promise<Besieged> {
    const engines = await TestEngines.open();
    const proxy = await TestProxy.start(engines, await engines.primary(), { loginTimeoutMs: 2_000 });
    const besieged = new Besieged(engines, proxy, await connectPg(proxy.url()));
    besieged.#before = await residentBytes(besieged.proxy.process.pid ?? 0);
    return besieged;
  }

  async close(): Promise<void> {
    const { proxy } = this;
    try {
      await eventually('the hostile sessions to be over', async () =>
        (await proxy.control.call('sessions', {})).length === 1 ? true : null,
      );
      assert.ok(
        (await residentBytes(this.proxy.process.pid ?? 0)) - this.#before < MOST_GROWTH_BYTES,
        'the proxy has grown',
      );
      this.#over = true;
      assert.ok((await this.#watching) < MOST_WAIT_MS, 'the session beside waited');
      assert.equal(proxy.process.exitCode, null);
      assert.equal(proxy.log, '');
    } finally {
      this.#over = true;
      await this.#bystander.end().catch(() => undefined);
      await proxy.stop();
      await this.#engines.close();
    }
  }

  /** The longest wait for an answer, ms. */
  async #watch(): Promise<number> {
    let slowestMs = 0;
    for (let n = 0; !this.#over; n++) {
      const start = performance.now();
      const { rows } = await this.#bystander.query<{ mine: string }>('select $1::text as mine', [
        `mine ${n}`,
      ]);
      assert.equal(rows[0]?.mine, `mine ${n}`);
      slowestMs = Math.max(slowestMs, performance.now() - start);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return slowestMs;
  }
}

const besieging = <T>(
  name: string,
  share: number,
  input: fc.Arbitrary<T>,
  attack: (proxy: TestProxy, value: T, abrupt: boolean) => Promise<void>,
): Target => ({
  name,
  share,
  open: async () => {
    const besieged = await Besieged.open();
    const together = fc.array(input, { minLength: AT_ONCE, maxLength: AT_ONCE });
    return {
      property: property(fc.tuple(together, fc.boolean()), async ([values, abrupt]) => {
        await Promise.all(values.map((value) => attack(besieged.proxy, value, abrupt)));
      }),
      cases: AT_ONCE,
      close: () => besieged.close(),
    };
  },
});

/** Sends the pieces, takes what comes, and goes away. */
const send = async (client: RawClient, chunks: readonly Buffer[], abrupt: boolean): Promise<void> => {
  for (const chunk of chunks) {
    if (chunk.length > 0) client.socket.write(chunk);
    await new Promise(setImmediate);
  }
  if (!abrupt) {
    client.socket.end();
    // Whatever it was: the proxy ends the connection when the client has ended its side.
    await client.end(END_MS);
  }
  client.close();
};

const saslText = fc.oneof(
  bytes,
  fc.constantFrom('n,,n=,r=abc', 'y,,n=,r=abc', 'c=biws,r=abc,p=AAAA', '').map((text) => Buffer.from(text)),
);

/** The names of methods that only look, and of what is no method. */
const METHODS = ['status', 'sessions', 'no such', 'constructor', '__proto__', 'toString', ''];
const call = fc
  .record({
    id: fc.oneof(fc.integer(), fc.jsonValue()),
    method: fc.oneof(fc.constantFrom(...METHODS), fc.jsonValue()),
    params: fc.jsonValue(),
  })
  .map((value) => Buffer.from(`${JSON.stringify(value)}\n`));

export const liveTargets: readonly Target[] = [
  besieging('start-up', 12, startups, async ({ port }, chunks, abrupt) =>
    send(await RawClient.connect(port), chunks, abrupt),
  ),
  besieging('messages', 8, messages, async ({ port }, chunks, abrupt) =>
    send(await RawClient.login(port, { password: PASSWORD }), chunks, abrupt),
  ),
  besieging('login', 5, fc.tuple(saslText, saslText), async ({ port }, [first, last], abrupt) => {
    const client = await RawClient.connect(port);
    client.send(encode.startupMessage(PROTOCOL_3_0, new Map([['user', 'postgres']])));
    client.send(encode.saslInitialResponse(SCRAM_MECHANISM, first.toString('latin1')));
    client.send(encode.saslResponse(last.toString('latin1')));
    if (!abrupt) {
      client.socket.end();
      const { messages: seen } = await client.end(END_MS);
      const isLoggedIn = ({ type, body }: { type: number; body: Buffer }): boolean =>
        type === Backend.Authentication && body.readInt32BE(0) === AuthCode.ok;
      assert.ok(!seen.some(isLoggedIn));
    }
    client.close();
  }),
  besieging('cancel', 10, cancelRequest, async ({ port }, packet, abrupt) =>
    send(await RawClient.connect(port), [packet], abrupt),
  ),
  besieging(
    'control-socket',
    10,
    fc.array(fc.oneof(bytes, call), { maxLength: 5 }),
    async ({ controlSocket }, chunks, abrupt) => {
      const socket = connect(controlSocket);
      await once(socket, 'connect');
      socket.on('error', () => undefined).resume();
      for (const chunk of chunks) socket.write(chunk);
      if (!abrupt) {
        socket.end();
        await once(socket, 'close');
      }
      socket.destroy();
    },
  ),
];
