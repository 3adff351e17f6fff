/**
 * Writing straight to a socket's handle: the stream layer of net.Socket costs more CPU than everything else the relay does
 * (docs/performance.md). The handle's interface is private to Node, so it is used only after `selfTest` has seen it work in
 * this very process; otherwise links fall back to net.Socket (link.ts), under the same tests.
 */
import { createServer, connect, type AddressInfo, type Server, type Socket } from 'node:net';

/** The part of Node's StreamBase that we use (src/stream_base.cc). */
export interface RawHandle {
  /** Returns 0 or a negative errno. What could not be written at once is written later: `lastWriteWasAsync()`. */
  writeBuffer(request: WriteRequest, buffer: Uint8Array): number;
  /** From now on reads land in `buffer`. Each call keeps a few bytes until the handle is closed. */
  useUserBuffer(buffer: Uint8Array): void;
  /** Bytes of writes that the kernel has not taken yet. */
  readonly writeQueueSize: number;
  /** All that were given to it, those included that wait. */
  readonly bytesWritten: number;
  reading: boolean;
  /** The descriptor; -1 once it is closed. */
  readonly fd: number;
  readStart(): number;
  readStop(): number;
  close(): void;
  /** Called for every read and for the end of the stream; the count is in Node's own state. */
  onread: (this: RawHandle, data: unknown) => unknown;
}

/** Node's WriteWrap. A request can be used again once its write is done. */
export interface WriteRequest {
  oncomplete: ((status: number) => void) | null;
  /** Keeps the memory alive until the write is done. */
  buffer: Uint8Array | null;
}

interface StreamWrap {
  WriteWrap: new () => WriteRequest;
  streamBaseState: ArrayLike<number>;
  kLastWriteWasAsync: number;
  kReadBytesOrError: number;
}

const load = (): StreamWrap | null => {
  try {
    const { binding } = process as unknown as { binding?: (name: string) => Partial<StreamWrap> };
    const found = binding?.('stream_wrap');
    if (typeof found?.WriteWrap !== 'function' || found.streamBaseState === undefined) return null;
    if (typeof found.kLastWriteWasAsync !== 'number' || typeof found.kReadBytesOrError !== 'number')
      return null;
    return found as StreamWrap;
  } catch {
    return null;
  }
};

const wrap = process.env['DBPROXY_FAST_PATH'] === '0' ? null : load();

export const newWriteRequest = (): WriteRequest => {
  if (!wrap) throw new Error('raw handles are not available');
  const request = new wrap.WriteWrap();
  request.buffer = null;
  return request;
};

/** True when the last writeBuffer could not finish at once and now holds on to its buffer. */
export const lastWriteWasAsync = (): boolean =>
  wrap !== null && wrap.streamBaseState[wrap.kLastWriteWasAsync] !== 0;

/** Calls `received` for every read, ahead of the stream layer; errors and the end of the stream go to that as before. */
export const onRawRead = (handle: RawHandle, received: (bytes: number) => void): void => {
  if (!wrap) return;
  const { streamBaseState, kReadBytesOrError } = wrap;
  const { onread } = handle;
  handle.onread = function (data) {
    const bytes = streamBaseState[kReadBytesOrError] ?? 0;
    if (bytes <= 0) return onread.call(this, data);
    received(bytes);
    return undefined;
  };
};

export const rawHandle = (socket: Socket | Server): RawHandle | null =>
  (socket as unknown as { _handle: RawHandle | null })._handle;

/** Bytes of the self-test's large write: more than any socket buffer takes at once. */
const LARGE_BYTES = 32 * 1024 * 1024;
const SELF_TEST_LIMIT_MS = 2_000;

/**
 * Sends a small and a large buffer over loopback through the raw handle and compares what arrives: a small write finishes at
 * once, a large one reports itself as unfinished and completes.
 */
export const selfTest = async (): Promise<boolean> => {
  if (!wrap) return false;
  const server = createServer({ pauseOnConnect: true });
  const sockets: Socket[] = [];
  try {
    return await Promise.race([
      exchange(server, sockets),
      new Promise<boolean>((resolve) => setTimeout(resolve, SELF_TEST_LIMIT_MS, false).unref()),
    ]);
  } catch {
    return false;
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
};

const exchange = async (server: ReturnType<typeof createServer>, sockets: Socket[]): Promise<boolean> => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const peer = await accepted;
  sockets.push(client, peer);
  const handle = rawHandle(peer);
  if (typeof handle?.writeBuffer !== 'function' || typeof handle.useUserBuffer !== 'function') return false;

  let received = 0;
  let sum = 0;
  const small = Buffer.from([1, 2, 3]);
  const large = Buffer.alloc(LARGE_BYTES, 1);
  const arrived = new Promise<void>((resolve) => {
    client.on('data', (chunk: Buffer) => {
      received += chunk.length;
      sum += chunk[0] ?? 0;
      if (received === small.length + large.length) resolve();
    });
  });

  if (handle.writeBuffer(newWriteRequest(), small) !== 0 || lastWriteWasAsync()) return false;
  const request = newWriteRequest();
  request.buffer = large;
  const completed = new Promise<number>((resolve) => (request.oncomplete = resolve));
  if (handle.writeBuffer(request, large) !== 0 || !lastWriteWasAsync()) return false;
  const [status] = await Promise.all([completed, arrived]);
  return status === 0 && sum > 0;
};
