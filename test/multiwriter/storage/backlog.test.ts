/** Who hangs without closing: what is meant for him is not kept without bound, and he comes back to what the others have. */
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Server, Socket } from 'node:net';
import { join } from 'node:path';
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { MAX_BEHIND_BYTES } from '../../../src/multiwriter/storage/api.js';
import { Peers } from '../../../src/multiwriter/writer/peers.js';
import type { PeerMessage } from '../../../src/multiwriter/writer/config.js';
import { eventually } from '../../support/clients.js';
import { MEMORY, TestStore, TestWriter, update } from './nodes.js';

const MEGABYTE = 'x'.repeat(1024 * 1024);
/** What waits when the last message is let through, that message, and what the kernel has taken. */
const BOUND = MAX_BEHIND_BYTES + 8 * MEGABYTE.length;
const REST_MS = 60_000;

let store: TestStore;
let writer: TestWriter;
let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(MEMORY, 'dbproxy-backlog-'));
  store = await TestStore.start();
  writer = await new TestWriter(store.links, 0, 1, 1).opened();
  writer.letsForget = true;
}, 60_000);

afterEach(async () => {
  writer.close();
  await store.close();
  await rm(directory, { recursive: true, force: true });
});

/** Of this process. */
const mostThatWaits = (): number => {
  const handles = (process as unknown as { _getActiveHandles(): unknown[] })._getActiveHandles();
  const sockets = handles.filter((one) => one instanceof Socket);
  return Math.max(...sockets.map(({ writableLength }) => writableLength));
};

it('a storage node', async () => {
  const [, , hangs] = store.nodes;
  hangs!.child!.kill('SIGSTOP');
  let most = 0;
  try {
    for (let i = 0; i < 60; i++) {
      expect(await writer.outcome(writer.propose(update(`k${i}`), MEGABYTE))).toBe('commit');
      most = Math.max(most, mostThatWaits());
    }
  } finally {
    hangs!.child!.kill('SIGCONT');
  }
  expect(most).toBeLessThan(BOUND);
  await eventually(
    'all nodes to have the same, and to forget it',
    async () => {
      expect(await writer.outcome(writer.propose(update('k')))).toBe('commit');
      await delay(200);
      const all = await Promise.all(store.nodes.map((node) => node.status()));
      return all.every(({ entries, slot }) => entries === 0 && slot === all[0]!.slot);
    },
    REST_MS,
  );
}, 200_000);

/** How much comes until `last` does. */
async function bytesUntil(socket: Socket, last: string, meanwhile: () => Promise<unknown>): Promise<number> {
  let bytes = 0;
  let tail = '';
  socket.on('data', (chunk) => {
    bytes += chunk.length;
    tail = (tail + chunk.toString('latin1')).slice(-chunk.length - last.length);
    if (tail.includes(last)) socket.pause();
  });
  socket.resume();
  await eventually('the last of it to come', async () => {
    await meanwhile();
    return tail.includes(last);
  });
  return bytes;
}

it('a reader of a storage node', async () => {
  const reader = connect(store.nodes[0]!.config.socket);
  reader.pause();
  reader.write(`${JSON.stringify({ id: 1, method: 'read', params: { writer: null } })}\n`);
  for (let i = 0; i < 90; i++)
    expect(await writer.outcome(writer.propose(update(`k${i}`), MEGABYTE))).toBe('commit');
  const bytes = await bytesUntil(reader, 'the last', () =>
    writer.outcome(writer.propose(update('k'), 'the last')),
  );
  expect(bytes).toBeLessThan(BOUND);
  reader.destroy();
}, 120_000);

it('the proxy of another writer', async () => {
  const path = join(directory, 'proxy.sock');
  const taken: Socket[] = [];
  const server: Server = createServer({ pauseOnConnect: true }, (socket) => taken.push(socket));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  await chmod(path, 0o600);
  const peers = new Peers([{ id: 1, socket: path }]);
  const socket = await eventually('it to connect', () => turn(taken[0]));
  const tell = async (text: string): Promise<void> => {
    peers.tell({ kind: 'adjudicate', text } as unknown as PeerMessage);
    await turn();
  };
  for (let i = 0; i < 90; i++) await tell(MEGABYTE);
  expect(await bytesUntil(socket, 'the last', () => tell('the last'))).toBeLessThan(BOUND);
  peers.close();
  socket.destroy();
  server.close();
}, 60_000);
