/** The other proxy process, at the other end of the IPC channel. Messages arrive in the order in which they were sent. */
import type { ChildProcess } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import type { RawHandle } from '../raw-handle.js';
import type { Handlers } from './messages.js';

/** What a ChildProcess and the process itself have in common, once there is a channel. */
interface Channel {
  send(
    message: unknown,
    handle: unknown,
    options: { keepOpen: boolean },
    sent: (error: Error | null) => void,
  ): unknown;
  on(event: 'message', received: (message: unknown, handle: unknown) => void): unknown;
  once(event: 'disconnect' | 'exit', gone: () => void): unknown;
  readonly connected: boolean;
}

interface Envelope {
  readonly kind: PropertyKey;
  readonly body: unknown;
}

/** Looks for the death of the parent, ms. */
const PARENT_LOOK_MS = 100;

/** An orphan is given another parent. */
const watchParent = (gone: () => void): void => {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    gone();
  }, PARENT_LOOK_MS).unref();
};

export class Peer<Outgoing, Incoming> {
  readonly #channel: Channel;
  readonly #handlers: Handlers<Incoming>;
  /** What came and is waited for by `next`, and what was asked for before it came. */
  readonly #arrived = new Map<PropertyKey, unknown[]>();
  readonly #awaited = new Map<PropertyKey, (body: unknown) => void>();
  #isGone = false;
  /** Resolves when the other process is gone, or has let go of us. */
  readonly gone: Promise<void>;
  /** Resolves when all that it had sent has been read, too. */
  readonly silent: Promise<void>;

  /** Messages without a handler wait for `next`. */
  constructor(process: ChildProcess | NodeJS.Process, handlers: Handlers<Incoming>) {
    this.#channel = process as unknown as Channel;
    this.#handlers = handlers;
    this.silent = new Promise((resolve) => this.#channel.once('disconnect', resolve));
    this.gone = new Promise((resolve) => {
      const isGone = (): void => {
        this.#isGone = true;
        resolve();
      };
      this.#channel.once('disconnect', isGone);
      // The channel's end can go unnoticed while a socket waits for its acknowledgement (seen on Node 20).
      if (process !== globalThis.process) this.#channel.once('exit', isGone);
      else watchParent(isGone);
    });
    this.#channel.on('message', (message, handle) => this.#received(message as Envelope, handle));
  }

  /** The next message of that kind. Throws when the other process is gone, or is silent for `boundMs`. */
  async next<K extends keyof Incoming & string>(kind: K, boundMs: number): Promise<Incoming[K]> {
    const [waiting] = this.#arrived.get(kind)?.splice(0, 1) ?? [];
    if (waiting !== undefined) return waiting as Incoming[K];
    const bound = new AbortController();
    const arrives = new Promise<unknown>((resolve) => this.#awaited.set(kind, resolve));
    const fails = Promise.race([
      this.gone.then(() => `the other proxy process is gone; "${kind}" was to come`),
      delay(boundMs, `no "${kind}" from the other proxy process within ${boundMs} ms`, {
        signal: bound.signal,
      }),
    ]).then((reason) => Promise.reject(new Error(reason)));
    try {
      return (await Promise.race([arrives, fails])) as Incoming[K];
    } finally {
      this.#awaited.delete(kind);
      bound.abort();
      fails.catch(() => undefined);
    }
  }

  /** Resolves when it is on its way: then both processes hold the socket. Throws when the other process is gone. */
  send<K extends keyof Outgoing>(kind: K, body: Outgoing[K], socket: RawHandle | null = null): Promise<void> {
    return new Promise((resolve, reject) => {
      const gone = (): void => reject(new Error('the other proxy process is gone'));
      if (this.#isGone || !this.#channel.connected) {
        gone();
        return;
      }
      // Node forgets what waits behind a socket that was not acknowledged.
      void this.gone.then(gone);
      const sent = (error: Error | null): void => (error ? reject(error) : resolve());
      this.#channel.send({ kind, body } satisfies Envelope, socket ?? undefined, { keepOpen: true }, sent);
    });
  }

  /** Sends what nobody waits for; that the other process is gone is seen elsewhere. */
  tell<K extends keyof Outgoing>(kind: K, body: Outgoing[K]): void {
    this.send(kind, body).catch(() => undefined);
  }

  #received({ kind, body }: Envelope, handle: unknown): void {
    const handler = this.#handlers[kind as keyof Incoming];
    const awaited = this.#awaited.get(kind);
    if (handler) handler(body as Incoming[keyof Incoming], (handle as RawHandle | undefined) ?? null);
    else if (awaited) awaited(body);
    else this.#arrived.set(kind, [...(this.#arrived.get(kind) ?? []), body]);
  }
}
