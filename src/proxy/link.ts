/**
 * One socket of a session: the client link or the server link.
 *
 *   kernel ──▶ read buffer ──▶ owner.received(buffer, bytes)      the buffer is lent until the call returns
 *   link.send(buffer, start, end) ──▶ kernel                       what the kernel does not take is kept, `blocked` is true
 *
 * Back-pressure: the owner stops reading the other link while this one is blocked and goes on at `owner.drained`.
 * Invariant: bytes leave in the order of `send`, each exactly once.
 */
import { Socket, connect, type NetConnectOpts, type OnReadOpts } from 'node:net';
import {
  lastWriteWasAsync,
  onRawRead,
  newWriteRequest,
  rawHandle,
  type RawHandle,
  type WriteRequest,
} from './raw-handle.js';
import { ReadBuffers, READ_BUFFER_BYTES, type Reader } from './read-buffers.js';

/** How long a finished link waits for its peer to close, ms. */
const LINGER_MS = 5_000;

/** How net.Socket is made of a connected handle. */
const ON_A_HANDLE = { allowHalfOpen: true, pauseOnCreate: true };

/** Of a link that was given away, or that nobody listens to yet. */
export const NOBODY: LinkOwner = {
  received: () => undefined,
  drained: () => undefined,
  ended: () => undefined,
  closed: () => undefined,
};

export interface LinkOwner {
  received(link: Link, buffer: Buffer, bytes: number): void;
  drained(link: Link): void;
  /** The peer will send no more (FIN). */
  ended(link: Link): void;
  /** The socket is gone; `error` if not by our own doing. Called once. */
  closed(link: Link, error: Error | null): void;
}

export interface LinkFactory {
  /** Takes over a socket accepted with `pauseOnConnect`. Nothing is read before `resume`. */
  accept(socket: Socket, owner: LinkOwner): Link;
  /** Takes over a connected socket that came from another process. Nothing is read before `resume`. */
  inherit(handle: RawHandle, owner: LinkOwner): Link;
  /** Connects; resolves when connected. Nothing is read before `resume`. */
  connect(where: NetConnectOpts, owner: LinkOwner, timeoutMs: number): Promise<Link>;
}

export class Link implements Reader {
  owner: LinkOwner;
  readBuffer: Buffer;
  privateSince: number | null = null;
  handle: RawHandle | null = null;
  readonly #socket: Socket;
  readonly #buffers: ReadBuffers | null;
  #request: WriteRequest | null = null;
  /** Writes the kernel has not taken yet. */
  #unfinished = 0;
  /** Their bytes. */
  readonly #unfinishedViews: Uint8Array[] = [];
  /** Bytes given to net.Socket, which has a queue of its own. */
  #plainBytes = 0;
  #frozen = false;
  #pinning = false;
  #closed = false;
  #ending = false;
  #discarding = false;

  private constructor(socket: Socket, owner: LinkOwner, buffers: ReadBuffers | null) {
    this.#socket = socket;
    this.owner = owner;
    this.#buffers = buffers;
    this.readBuffer = buffers?.shared ?? Buffer.alloc(0);
    socket.on('error', () => undefined);
    socket.on('end', () => this.owner.ended(this));
    socket.on('close', () => this.#onClose());
  }

  /** Links that read into shared buffers and write straight to the handle. */
  static fast(): LinkFactory {
    const buffers = new ReadBuffers();
    const onread = (self: () => Link): OnReadOpts => ({
      buffer: buffers.shared,
      callback: (bytes: number): boolean => {
        self().#received(bytes);
        return true;
      },
    });
    const inherit = (handle: RawHandle | null, owner: LinkOwner): Link => {
      const options: object = { handle, onread: onread(() => link), ...ON_A_HANDLE };
      const link: Link = new Link(new Socket(options), owner, buffers);
      return link.#attach();
    };
    return {
      accept: (accepted, owner) => inherit(rawHandle(accepted), owner),
      inherit,
      connect: async (where, owner, timeoutMs) => {
        const options = { ...where, onread: onread(() => link), allowHalfOpen: true } as NetConnectOpts;
        const socket = connect(options);
        const link: Link = new Link(socket, owner, buffers);
        // Paused before it is connected, so that nothing is read while it has no owner that listens.
        socket.pause();
        await connected(socket, timeoutMs);
        link.#attach();
        return link;
      },
    };
  }

  /** Links on net.Socket's public interface alone. */
  static plain(): LinkFactory {
    return {
      accept: (socket, owner) => {
        (socket as { allowHalfOpen: boolean }).allowHalfOpen = true;
        return new Link(socket, owner, null).#attach();
      },
      inherit: (handle, owner) => {
        const options: object = { handle, ...ON_A_HANDLE };
        return new Link(new Socket(options), owner, null).#attach();
      },
      connect: async (where, owner, timeoutMs) => {
        const socket = connect({ ...where, allowHalfOpen: true } as NetConnectOpts);
        const link = new Link(socket, owner, null);
        await connected(socket, timeoutMs);
        return link.#attach();
      },
    };
  }

  #attach(): this {
    this.#socket.setNoDelay(true);
    if (this.#buffers) {
      this.handle = rawHandle(this.#socket);
      this.#buffers.add(this);
      if (this.handle) onRawRead(this.handle, (bytes) => this.#received(bytes));
    } else {
      this.#socket.pause();
      this.#socket.on('data', (chunk: Buffer) => {
        if (!this.#discarding) this.owner.received(this, chunk, chunk.length);
      });
    }
    return this;
  }

  /** Who is at the other end, for people. */
  get remote(): string {
    return this.isLocal ? 'local' : `${this.host}:${this.#socket.remotePort}`;
  }

  /** It came over a Unix socket, or is gone. */
  get isLocal(): boolean {
    return this.#socket.remoteAddress === undefined;
  }

  /** Address of the other end; '' when it has none. */
  get host(): string {
    return this.#socket.remoteAddress ?? '';
  }

  /** Some bytes given to `send` are not with the kernel yet. */
  get blocked(): boolean {
    return this.#unfinished > 0;
  }

  get closed(): boolean {
    return this.#closed;
  }

  get readBufferPinned(): boolean {
    return this.#pinning;
  }

  /**
   * Sends bytes that were lent by `from.received` (a view of its read buffer). The memory may be read into again as soon as
   * this returns, unless `blocked`, and then not before `drained`.
   */
  forward(buffer: Buffer, start: number, end: number, from: Link): void {
    if (this.#closed || this.#ending || start === end) return;
    const view = start === 0 && this.#buffers ? this.#buffers.view(buffer, end) : buffer.subarray(start, end);
    if (!this.handle) {
      this.#sendPlain(view);
      return;
    }
    if (this.#writeRaw(view)) return;
    from.#pin(this);
  }

  /** Sends bytes of our own; they must not be changed afterwards. */
  send(bytes: Buffer): void {
    if (this.#closed || this.#ending || bytes.length === 0) return;
    if (!this.handle) this.#sendPlain(bytes);
    else this.#writeRaw(bytes);
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    if (!this.#frozen) this.#socket.resume();
  }

  /** Sends what is unsent, then FIN. */
  end(): void {
    if (this.#ending || this.#closed) return;
    this.#ending = true;
    this.#socket.end();
  }

  /**
   * Ends the link for good: sends what is unsent, then FIN; what still comes is thrown away. A peer that does not close its
   * end in time loses the rest, so that nobody can keep descriptors of ours.
   */
  finish(): void {
    this.end();
    if (this.#discarding || this.#closed) return;
    this.#discarding = true;
    this.#socket.resume();
    const timer = setTimeout(() => this.#socket.destroy(), LINGER_MS).unref();
    this.#socket.once('close', () => clearTimeout(timer));
  }

  destroy(): void {
    this.#socket.destroy();
  }

  // --- handing the socket to another process ----------------------------------------------------------------------------

  /** What another process can be given; null: the socket is gone. Both then refer to the same connection. */
  get inheritable(): RawHandle | null {
    return this.#closed ? null : rawHandle(this.#socket);
  }

  /**
   * From when this resolves on nothing is read any more: what has come by then was received by the owner. A `resume` just
   * before takes effect in a later tick (stream.Readable), hence the wait.
   */
  async freeze(): Promise<void> {
    this.#frozen = true;
    this.#socket.pause();
    await new Promise<void>((resolve) => setImmediate(resolve));
    this.#socket.pause();
    if (!this.#buffers) this.#stopReading();
  }

  /** A paused net.Socket goes on reading into a buffer of its own. */
  #stopReading(): void {
    // Emits `data`.
    while (this.#socket.read() !== null);
    const handle = this.inheritable;
    if (!handle) return;
    handle.reading = false;
    handle.readStop();
  }

  /** The link can be resumed again. */
  thaw(): void {
    if (!this.#frozen) return;
    this.#frozen = false;
    const handle = this.#buffers ? null : this.inheritable;
    if (!handle) return;
    handle.reading = true;
    handle.readStart();
  }

  /** Bytes given to `send` that the kernel has not taken. Null: it cannot be told. The link goes on writing them. */
  get unsent(): Buffer | null {
    if (this.#unfinishedViews.length === 0) return Buffer.alloc(0);
    const handle = this.inheritable;
    if (!handle) return null;
    const inItsQueue = this.#buffers ? 0 : this.#plainBytes - handle.bytesWritten;
    const views = Buffer.concat(this.#unfinishedViews);
    return views.subarray(views.length - handle.writeQueueSize - inItsQueue);
  }

  /** Lets go of the socket without a word to the peer: another process has it. What is unsent is not sent from here. */
  giveAway(): void {
    if (this.#closed) return;
    this.owner = NOBODY;
    this.#onClose();
    this.#socket.destroy();
  }

  /**
   * Frozen: lets go of the socket, which goes on under another owner in this process. Null: it is gone, or has something
   * unsent. The link is closed then, without a word to its owner.
   */
  surrender(): RawHandle | null {
    if (this.#closed) return null;
    const handle = this.blocked ? null : rawHandle(this.#socket);
    this.owner = NOBODY;
    this.#onClose();
    // Whatever becomes of this object, the socket is not its any more.
    if (handle) (this.#socket as unknown as { _handle: null })._handle = null;
    else this.#socket.destroy();
    return handle;
  }

  // --- reading --------------------------------------------------------------------------------------------------------

  #received(bytes: number): void {
    if (this.#discarding) return;
    const buffer = this.readBuffer;
    this.owner.received(this, buffer, bytes);
    if (bytes === READ_BUFFER_BYTES && !this.#closed) this.#buffers?.makePrivate(this);
  }

  /** Reads on although what was read before is not with the peer yet; what comes now is to be copied. */
  readAhead(): void {
    if (this.#pinning) this.#buffers?.renew(this);
    this.#pinning = false;
    this.resume();
  }

  /** An unfinished write of `writer` refers to our read buffer. */
  #pin(writer: Link): void {
    this.#pinning = true;
    this.#buffers?.pinned(this);
    writer.#onFinished = () => {
      this.#pinning = false;
    };
  }

  // --- writing --------------------------------------------------------------------------------------------------------

  #onFinished: (() => void) | null = null;

  /** True when the kernel took everything. */
  #writeRaw(view: Uint8Array): boolean {
    const request = this.#request ?? newWriteRequest();
    this.#request = request;
    const status = this.handle?.writeBuffer(request, view) ?? -1;
    if (status !== 0) {
      this.#socket.destroy();
      return true;
    }
    if (!lastWriteWasAsync()) return true;
    this.#request = null;
    this.#unfinished++;
    this.#unfinishedViews.push(view);
    request.buffer = view;
    request.oncomplete = (result) => {
      request.buffer = null;
      // In the order of the writes.
      this.#unfinishedViews.shift();
      this.#written(result === 0);
    };
    return false;
  }

  #sendPlain(view: Uint8Array): void {
    this.#plainBytes += view.length;
    this.#unfinishedViews.push(view);
    if (this.#socket.write(view, () => void this.#unfinishedViews.shift())) return;
    if (this.#unfinished++ === 0) {
      this.#socket.once('drain', () => {
        this.#unfinished = 1;
        this.#written(true);
      });
    }
  }

  #written(ok: boolean): void {
    if (this.#closed) return;
    this.#unfinished--;
    if (!ok) {
      this.#socket.destroy();
      return;
    }
    if (this.#unfinished > 0) return;
    this.#onFinished?.();
    this.#onFinished = null;
    this.owner.drained(this);
  }

  #onClose(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#onFinished?.();
    this.#onFinished = null;
    this.#unfinished = 0;
    this.#buffers?.remove(this);
    this.handle = null;
    this.owner.closed(this, this.#socket.errored ?? null);
  }
}

const connected = (socket: Socket, timeoutMs: number): Promise<void> =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Error(`no connection within ${timeoutMs} ms`));
    }, timeoutMs);
    socket.once('connect', () => {
      clearTimeout(timer);
      resolve();
    });
    socket.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
  });
