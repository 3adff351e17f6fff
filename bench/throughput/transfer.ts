/** Large transfers over one connection, timed by a client that only counts bytes. */
import { once } from 'node:events';
import type { NetConnectOpts } from 'node:net';
import { encode } from '../../src/protocol/index.js';
import { RawClient } from '../../test/support/raw-client.js';

export interface Place {
  readonly where: NetConnectOpts | number;
  readonly user: string;
  readonly password: string;
}

export interface Transfer {
  readonly bytes: number;
  readonly seconds: number;
}

/** What ends the answer: ReadyForQuery, status I. */
const END = Buffer.from([0x5a, 0, 0, 0, 5, 0x49]);
const ROW_BYTES = 1_000;
const CHUNK_BYTES = 64 * 1024;

const rowsOf = (megabytes: number): number => Math.round((megabytes * 1e6) / ROW_BYTES);

export const KINDS = {
  'large result': (place: Place, megabytes: number) =>
    read(place, `select repeat('x', ${ROW_BYTES}) from generate_series(1, ${rowsOf(megabytes)})`),
  'COPY out': (place: Place, megabytes: number) =>
    read(
      place,
      `copy (select repeat('x', ${ROW_BYTES}) from generate_series(1, ${rowsOf(megabytes)})) to stdout`,
    ),
  'COPY in': write,
} as const;
export type Kind = keyof typeof KINDS;

const logIn = async ({ where, user, password }: Place): Promise<RawClient> =>
  RawClient.login(where, { user, password });

/** Everything up to the end of the answer, thrown away. */
async function read(place: Place, sql: string): Promise<Transfer> {
  const client = await logIn(place);
  const { socket } = client;
  socket.removeAllListeners('data');
  let bytes = 0;
  let tail: Buffer = Buffer.alloc(0);
  const ended = new Promise<void>((resolve, reject) => {
    socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      tail =
        chunk.length >= END.length
          ? chunk.subarray(-END.length)
          : Buffer.concat([tail, chunk]).subarray(-END.length);
      if (tail.equals(END)) resolve();
    });
    socket.once('close', () => reject(new Error('the connection was lost')));
  });
  const startMs = performance.now();
  client.send(encode.query(sql));
  await ended;
  const seconds = (performance.now() - startMs) / 1_000;
  client.close();
  return { bytes, seconds };
}

/** Into a table that is emptied before, and is not logged: what the server does with it is not what is measured. */
async function write(place: Place, megabytes: number): Promise<Transfer> {
  const client = await logIn(place);
  await client.query('create unlogged table if not exists copied (line text); truncate copied');
  const row = Buffer.from(`${'x'.repeat(ROW_BYTES - 1)}\n`);
  const rows = Math.floor(CHUNK_BYTES / ROW_BYTES);
  const chunk = encode.message('d'.charCodeAt(0), Buffer.concat(Array.from({ length: rows }, () => row)));
  const chunks = Math.ceil(rowsOf(megabytes) / rows);
  client.send(encode.query('copy copied from stdin'));
  await client.answer('G');
  const startMs = performance.now();
  for (let sent = 0; sent < chunks; sent++)
    if (!client.socket.write(chunk)) await once(client.socket, 'drain');
  client.send(encode.message('c'.charCodeAt(0), Buffer.alloc(0)));
  await client.answer('Z', 120_000);
  const seconds = (performance.now() - startMs) / 1_000;
  client.close();
  return { bytes: chunks * chunk.length, seconds };
}
