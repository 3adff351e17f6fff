/** Crowds of connections that never log in: memory and descriptors stay bounded, sessions feel nothing, and afterwards all is as before. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { PROTOCOL_3_0, encode } from '../../src/protocol/index.js';
import { connectPg, eventually, withPg } from '../support/clients.js';
import { TestEngines } from '../support/engines.js';
import { descriptorsOf, residentBytes } from '../support/process-usage.js';
import { TestProxy } from '../support/proxies.js';

/** Longer than the five seconds for which one whose time is up may be on its way out (link.ts). */
const LOGIN_TIMEOUT_MS = 6_000;
const MB = 1024 * 1024;
const STARTUP = encode.startupMessage(
  PROTOCOL_3_0,
  new Map([
    ['user', 'postgres'],
    ['database', 'postgres'],
  ]),
);

let engines: TestEngines;
let proxy: TestProxy;
/** A session that was there before. */
let bystander: pg.Client;
const strangers: Socket[] = [];

beforeAll(async () => {
  engines = await TestEngines.open();
  proxy = await TestProxy.start(engines, await engines.primary(), { loginTimeoutMs: LOGIN_TIMEOUT_MS });
  bystander = await connectPg(proxy.url());
});

afterAll(async () => {
  expect(proxy?.log).toBe('');
  await bystander?.end();
  await proxy?.stop();
  await engines?.close();
});

afterEach(() => {
  for (const socket of strangers.splice(0)) socket.destroy();
});

const descriptors = (): Promise<number> => descriptorsOf(proxy.pid);
const memory = (): Promise<number> => residentBytes(proxy.pid);

let before = { descriptors: 0, memory: 0 };
beforeEach(async () => {
  await withPg(proxy.url(), (client) => client.query('select 1'));
  before = { descriptors: await descriptors(), memory: await memory() };
});

/** Connected, or turned away. */
const stranger = async (): Promise<Socket> => {
  const socket = connect(proxy.port, '127.0.0.1');
  strangers.push(socket);
  socket.on('error', () => undefined);
  await Promise.race([once(socket, 'connect'), once(socket, 'close')]);
  return socket;
};

const isServed = async (): Promise<void> => {
  expect((await bystander.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
};

const asBefore = async (): Promise<void> => {
  await eventually(
    'the descriptors of before',
    async () => (await descriptors()) <= before.descriptors,
    30_000,
  );
  await withPg(proxy.url(), async (client) => {
    expect((await client.query('select 2 as two')).rows).toEqual([{ two: 2 }]);
  });
  await isServed();
};

it('ten thousand that say nothing: a thousand wait for their time-out, a thousand for their turn, the others are turned away', async () => {
  for (let i = 0; i < 100; i++) {
    await Promise.all(Array.from({ length: 100 }, stranger));
    await isServed();
  }
  // A thousand log in, a thousand wait for it, and as many whose time is up and 500 that were turned away are being closed.
  expect(await descriptors()).toBeLessThan(before.descriptors + 3_700);
  expect((await memory()) - before.memory).toBeLessThan(64 * MB);
  await asBefore();
});

it('a storm of those that come and go in the middle of a start-up packet', async () => {
  for (let i = 0; i < 30; i++) {
    const sockets = await Promise.all(Array.from({ length: 100 }, stranger));
    for (const socket of sockets) {
      socket.write(STARTUP.subarray(0, 9));
      socket.destroy();
    }
    await isServed();
  }
  await asBefore();
  expect((await memory()) - before.memory).toBeLessThan(48 * MB);
});

it('three hundred that send a byte now and then have no more time than others, and are in nobody’s way', async () => {
  const sockets = await Promise.all(Array.from({ length: 300 }, stranger));
  const startMs = performance.now();
  const ended = Promise.all(sockets.map((socket) => once(socket.resume(), 'close')));
  let sent = 0;
  const drip = setInterval(() => {
    for (const socket of sockets) socket.write(STARTUP.subarray(sent, sent + 1));
    sent++;
  }, 300);
  try {
    await withPg(proxy.url(), (client) => client.query('select 1'));
    await isServed();
    await ended;
  } finally {
    clearInterval(drip);
  }
  expect(sent).toBeLessThan(STARTUP.length);
  // A bound for the test itself; that it ends before all bytes were sent says the rest.
  expect(performance.now() - startMs).toBeLessThan(45_000);
  await asBefore();
});

it('two and a half thousand at one instant: each gets a session, or is told that there are too many', async () => {
  const patient = await TestProxy.start(engines, await engines.primary(), { maxSessions: 100 });
  const answerTo = async (): Promise<string> => {
    const socket = connect(patient.port, '127.0.0.1');
    strangers.push(socket);
    socket.on('error', () => undefined);
    // Its first packet is on its way before anybody reads: a connection that is closed like that is reset.
    socket.write(STARTUP);
    let answer = '';
    socket.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')));
    await Promise.race([once(socket, 'data'), once(socket, 'close')]);
    socket.end();
    await (socket.closed || once(socket, 'close'));
    return answer.startsWith('R')
      ? 'asked for the password'
      : (/\0C(\w{5})\0/.exec(answer)?.[1] ?? 'nothing');
  };
  try {
    const answers = new Set(await Promise.all(Array.from({ length: 2_500 }, answerTo)));
    expect(answers).toContain('asked for the password');
    expect([...answers].filter((each) => each !== '53300' && each !== 'asked for the password')).toEqual([]);
  } finally {
    await patient.stop();
  }
});
