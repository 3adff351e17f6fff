/**
 * A writer's (and the primary's) way to the storage nodes: messages out, answers and news in. A node that is away is tried again; what
 * was meant for it meanwhile is lost, which the protocol is made for.
 */
import { RpcClient } from '../../rpc/index.js';
import { DbproxyError } from '../../errors/index.js';
import type { FromNode, NodeId, ToNode } from '../protocol/index.js';
import type { News, StoreApi, StoreConfig } from './api.js';

const RETRY_MS = 50;
/** A transaction's write-set, with its keys and all; several of them fit into one message of the primary's. */
export const MAX_PROPOSAL_BYTES = 16 * 1024 * 1024;

export interface StoreListener {
  answer(node: NodeId, message: FromNode): void;
  news(node: NodeId, news: News): void;
  /** Reachable or not; once for each change. */
  reachable?(node: NodeId, isReachable: boolean): void;
}

/** Throws DBP_STORE_TOO_LARGE, before anything was sent. */
export const assertFits = (payload: string): void => {
  const bytes = Buffer.byteLength(payload);
  if (bytes > MAX_PROPOSAL_BYTES)
    throw new DbproxyError('DBP_STORE_TOO_LARGE', { bytes, limit: MAX_PROPOSAL_BYTES });
};

class NodeLink {
  readonly #node: NodeId;
  readonly #socket: string;
  readonly #listener: StoreListener;
  #rpc: RpcClient<StoreApi> | null = null;
  #timer: NodeJS.Timeout | null = null;
  #isClosed = false;

  constructor({ node, socket }: StoreConfig['peers'][number], listener: StoreListener) {
    this.#node = node;
    this.#socket = socket;
    this.#listener = listener;
    void this.#connect();
  }

  get rpc(): RpcClient<StoreApi> | null {
    return this.#rpc;
  }

  tell(message: ToNode): void {
    this.#rpc?.call('tell', message).then(
      (answers) => {
        for (const answer of answers) this.#listener.answer(this.#node, answer);
      },
      // The connection is gone, and with it the question: whoever waits for an answer asks again.
      () => undefined,
    );
  }

  close(): void {
    this.#isClosed = true;
    if (this.#timer) clearTimeout(this.#timer);
    this.#rpc?.close();
  }

  async #connect(): Promise<void> {
    try {
      const rpc = await RpcClient.connect<StoreApi>(this.#socket);
      if (this.#isClosed) return rpc.close();
      this.#rpc = rpc;
      void rpc
        .call('follow', {}, { onProgress: (news) => this.#listener.news(this.#node, news) })
        .catch(() => undefined);
      this.#listener.reachable?.(this.#node, true);
      await rpc.closed;
      this.#rpc = null;
      this.#listener.reachable?.(this.#node, false);
    } catch {
      // Not there yet, or not any more.
    }
    if (!this.#isClosed) this.#timer = setTimeout(() => void this.#connect(), RETRY_MS);
  }
}

export class StoreClient {
  readonly #links: ReadonlyMap<NodeId, NodeLink>;
  #turn = 0;

  constructor(nodes: StoreConfig['peers'], listener: StoreListener) {
    this.#links = new Map(nodes.map((one) => [one.node, new NodeLink(one, listener)]));
  }

  toAll(message: ToNode): void {
    for (const link of this.#links.values()) link.tell(message);
  }

  /** One of those that can be reached, in turn. */
  toOne(message: ToNode): void {
    const reachable = [...this.#links.values()].filter(({ rpc }) => rpc !== null);
    reachable[this.#turn++ % Math.max(1, reachable.length)]?.tell(message);
  }

  close(): void {
    for (const link of this.#links.values()) link.close();
  }
}
