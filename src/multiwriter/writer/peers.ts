/** The proxies of the other writers: told what is meant for the primary, and what the primary has decided. */
import { RpcClient } from '../../rpc/index.js';
import { MAX_BEHIND_BYTES } from '../storage/api.js';
import type { PeerMessage, WriterApi, WriterConfig } from './config.js';

const RETRY_MS = 200;

class PeerLink {
  readonly #socket: string;
  #rpc: RpcClient<WriterApi> | null = null;
  #outbox: PeerMessage[] = [];
  #timer: NodeJS.Timeout | null = null;
  #isClosed = false;

  constructor(socket: string) {
    this.#socket = socket;
    void this.#connect();
  }

  /** Sent with what else is said in this turn of the loop. What is for one that is away, or hangs, is lost: it is said again. */
  tell(message: PeerMessage): void {
    if (!this.#rpc || this.#rpc.behindBytes > MAX_BEHIND_BYTES) return;
    if (this.#outbox.push(message) === 1) setImmediate(() => this.#flush());
  }

  call<M extends keyof WriterApi>(
    method: M,
    params: WriterApi[M]['params'],
    timeoutMs: number,
  ): Promise<WriterApi[M]['result'] | null> {
    return this.#rpc?.call(method, params, { timeoutMs }).catch(() => null) ?? Promise.resolve(null);
  }

  close(): void {
    this.#isClosed = true;
    if (this.#timer) clearTimeout(this.#timer);
    this.#rpc?.close();
  }

  #flush(): void {
    const messages = this.#outbox;
    this.#outbox = [];
    this.#rpc?.call('writer.tell', { messages }).catch(() => undefined);
  }

  async #connect(): Promise<void> {
    try {
      const rpc = await RpcClient.connect<WriterApi>(this.#socket);
      if (this.#isClosed) return rpc.close();
      this.#rpc = rpc;
      // Even with nothing to say: a process that is replaced ends the connections on which a writer speaks.
      this.#flush();
      await rpc.closed;
      this.#rpc = null;
    } catch {
      // Not there yet, or not any more.
    }
    if (!this.#isClosed) this.#timer = setTimeout(() => void this.#connect(), RETRY_MS);
  }
}

export class Peers {
  readonly #links: readonly PeerLink[];

  constructor(peers: WriterConfig['peers']) {
    this.#links = peers.map(({ socket }) => new PeerLink(socket));
  }

  tell(message: PeerMessage): void {
    for (const link of this.#links) link.tell(message);
  }

  /** Of all of them; null for one that does not answer in time. */
  ask<M extends keyof WriterApi>(
    method: M,
    params: WriterApi[M]['params'],
    timeoutMs: number,
  ): Promise<(WriterApi[M]['result'] | null)[]> {
    return Promise.all(this.#links.map((link) => link.call(method, params, timeoutMs)));
  }

  close(): void {
    for (const link of this.#links) link.close();
  }
}
