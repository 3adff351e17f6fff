/**
 * The socket of a connection of the load: the driver connects and authenticates on it, then it is read and written past the
 * driver's and the stream's layers, which cost a generator on the database's own cores more than everything else it does.
 *
 *   kernel ──▶ one buffer for all ──▶ received(buffer, bytes)      used up before it returns
 *   write(bytes) ──▶ kernel                                         at once, if the handle can be written to directly
 *
 * With TLS both go through the stream, as there is no other way.
 */
import { Socket, type OnReadOpts, type SocketConstructorOpts } from 'node:net';
import type pg from 'pg';
import {
  lastWriteWasAsync,
  newWriteRequest,
  rawHandle,
  selfTest,
  type WriteRequest,
} from '../proxy/raw-handle.js';

const READ_BUFFER_BYTES = 64 * 1024;
const readBuffer = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES);

let canWriteRaw: Promise<boolean> | undefined;

export type Received = (buffer: Buffer, bytes: number) => void;

export class LoadSocket {
  readonly #received: Received;
  readonly #raw: boolean;
  #socket: Socket = new Socket();
  #isTls = false;
  #request: WriteRequest | null = null;
  #toDriver: (bytes: Buffer) => void = () => {};

  private constructor(received: Received, raw: boolean) {
    this.#received = received;
    this.#raw = raw;
  }

  /** Not connected yet: `streamFor` and `attach` are for the driver. */
  static async make(received: Received): Promise<LoadSocket> {
    return new LoadSocket(received, await (canWriteRaw ??= selfTest()));
  }

  /** What the driver is to connect (its option `stream`). */
  readonly streamFor = ({ ssl }: { readonly ssl?: unknown }): Socket => {
    this.#isTls = ssl !== undefined && ssl !== false;
    if (this.#isTls) return this.#socket;
    const callback = (bytes: number): boolean => {
      this.#received(readBuffer, bytes);
      return true;
    };
    const onread: OnReadOpts = { buffer: readBuffer, callback };
    const socket = (this.#socket = new Socket({ onread } as SocketConstructorOpts));
    this.#toDriver = (bytes) => void socket.emit('data', bytes);
    return socket;
  };

  /** Before it connects: with TLS the driver makes another stream, whose listener stands behind us then. */
  attach(connection: pg.Connection): void {
    connection.on('sslconnect', () => {
      this.#socket = connection.stream as Socket;
      const [parse] = this.#socket.listeners('data');
      this.#socket.removeAllListeners('data');
      this.#toDriver = parse as (bytes: Buffer) => void;
      this.#socket.on('data', (bytes: Buffer) => this.#received(bytes, bytes.length));
    });
  }

  /** The driver keeps what it is given. */
  toDriver(bytes: Buffer): void {
    this.#toDriver(bytes);
  }

  /** `bytes` may be used again once the other side has answered. */
  write(bytes: Buffer): void {
    if (!this.#raw || this.#isTls) return void this.#socket.write(bytes);
    const request = (this.#request ??= newWriteRequest());
    if (rawHandle(this.#socket)?.writeBuffer(request, bytes) !== 0) return this.destroy();
    if (!lastWriteWasAsync()) return;
    request.buffer = bytes;
    request.oncomplete = () => {};
    this.#request = null;
  }

  destroy(): void {
    this.#socket.destroy();
  }
}
