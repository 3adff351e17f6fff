/**
 * Fuzzed bytes against a live proxy, from a seed that is printed with a failure: it neither ends nor hangs nor grows, and a
 * session beside it is served all the time.
 */
import { readFile } from 'node:fs/promises';
import fc from 'fast-check';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Frontend, StartupCode, encode, protocolVersion } from '../../src/protocol/index.js';
import { connectPg, eventually } from '../support/clients.js';
import { PASSWORD, TestEngines } from '../support/engines.js';
import { TestProxy } from '../support/proxies.js';
import { RawClient } from '../support/raw-client.js';

const SEED = 20_261_122;
const LIMIT_MS = 8_000;
const MB = 1024 * 1024;

let engines: TestEngines;
let proxy: TestProxy;
let bystander: pg.Client;
let watching: Promise<number>;
let stop = false;

const rss = async (): Promise<number> => {
  const status = await readFile(`/proc/${proxy.process.pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
};

beforeAll(async () => {
  engines = await TestEngines.open();
  const engine = await engines.primary();
  proxy = await TestProxy.start(engines, engine, { loginTimeoutMs: 2_000 });
  bystander = await connectPg(proxy.url());
  watching = (async () => {
    let slowestMs = 0;
    while (!stop) {
      const start = performance.now();
      await bystander.query('select 1');
      slowestMs = Math.max(slowestMs, performance.now() - start);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return slowestMs;
  })();
});

afterAll(async () => {
  stop = true;
  expect(await watching).toBeLessThan(2_000);
  await bystander?.end();
  expect(proxy?.process.exitCode).toBeNull();
  expect(proxy?.log).toBe('');
  await proxy?.stop();
  await engines?.close();
});

const bytes = fc.uint8Array({ maxLength: 200 }).map((value) => Buffer.from(value));
const parameters = new Map([
  ['user', 'postgres'],
  ['database', 'postgres'],
]);
const startup = fc
  .tuple(
    fc.constantFrom(0, 2, 9),
    fc.dictionary(fc.stringMatching(/^[a-z_.]{1,12}$/), fc.string({ maxLength: 12 })),
  )
  .map(([minor, extra]) =>
    encode.startupMessage(protocolVersion(3, minor), new Map([...parameters, ...Object.entries(extra)])),
  );
const request = fc.constantFrom(StartupCode.ssl, StartupCode.gssenc).map((code) => {
  const packet = Buffer.alloc(8);
  packet.writeInt32BE(8);
  packet.writeInt32BE(code, 4);
  return packet;
});
const types = Object.values(Frontend);
const message = fc.oneof(
  fc.tuple(fc.constantFrom(...types), bytes).map(([type, body]) => encode.message(type, body)),
  fc.tuple(fc.nat(255), bytes).map(([type, body]) => encode.message(type, body)),
  fc.tuple(fc.constantFrom(...types), fc.integer()).map(([type, length]) => {
    const header = Buffer.alloc(5);
    header[0] = type;
    header.writeInt32BE(length, 1);
    return header;
  }),
  fc.constantFrom(
    encode.query('select 1'),
    encode.query('begin'),
    encode.query('copy (select 1) to stdout'),
    encode.query('create temp table if not exists c (n int); copy c from stdin'),
    Buffer.concat([
      encode.parse('', 'select $1::int'),
      encode.bind('', '', ['1']),
      encode.execute(),
      encode.sync(),
    ]),
    encode.sync(),
    encode.message(Frontend.CopyDone),
    encode.message(Frontend.Flush),
    encode.closeStatement(''),
  ),
);
/** One byte changed. */
const bent = fc.tuple(message, fc.nat(), fc.nat(255)).map(([whole, at, value]) => {
  const copy = Buffer.from(whole);
  copy[at % copy.length] = value;
  return copy;
});

/** Sends the pieces, takes what comes for a moment, and goes away. */
const attack = async (chunks: readonly Buffer[], login: boolean, abrupt: boolean): Promise<void> => {
  const client = login
    ? await RawClient.login(proxy.port, { password: PASSWORD })
    : await RawClient.connect(proxy.port);
  for (const chunk of chunks) {
    if (chunk.length > 0) client.socket.write(chunk);
    await new Promise(setImmediate);
  }
  if (!abrupt) {
    client.socket.end();
    // Whatever it was: the proxy ends the connection when the client has ended its side.
    await client.end(10_000);
  }
  client.close();
};

const fuzz = (input: fc.Arbitrary<Buffer[]>, login: boolean): Promise<void> =>
  fc.assert(
    fc.asyncProperty(
      fc.array(input, { minLength: 4, maxLength: 4 }),
      fc.boolean(),
      async (attacks, abrupt) => {
        await Promise.all(attacks.map((chunks) => attack(chunks, login, abrupt)));
      },
    ),
    {
      seed: SEED,
      numRuns: 1_000,
      interruptAfterTimeLimit: LIMIT_MS,
      markInterruptAsFailure: false,
      endOnFailure: true,
    },
  );

describe('fuzzed', () => {
  it('start-up: no end, no hang, no growth', async () => {
    const before = await rss();
    await fuzz(fc.array(fc.oneof(bytes, startup, request, message), { maxLength: 5 }), false);
    await eventually('the logins to be over', async () =>
      (await proxy.control.call('sessions', {})).length === 1 ? true : null,
    );
    expect((await rss()) - before).toBeLessThan(64 * MB);
  });

  it('messages of a session: no end, no hang, no growth', async () => {
    const before = await rss();
    await fuzz(fc.array(fc.oneof(message, bent, bytes), { maxLength: 8 }), true);
    await eventually('the sessions to be over', async () =>
      (await proxy.control.call('sessions', {})).length === 1 ? true : null,
    );
    expect((await rss()) - before).toBeLessThan(64 * MB);
  });
});
