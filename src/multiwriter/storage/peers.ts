/** The other nodes of the store: asked for what is missing here, and for how far they remember this node's log to go. */
import { RpcClient } from '../../rpc/index.js';
import type { Fetch, FromNode, NodeId } from '../protocol/index.js';
import { MAX_BEHIND_BYTES, type StoreApi, type StoreConfig } from './api.js';

const BOUND = { timeoutMs: 2_000 };

class Peer {
  readonly node: NodeId;
  readonly #socket: string;
  #rpc: RpcClient<StoreApi> | null = null;

  constructor({ node, socket }: StoreConfig['peers'][number]) {
    this.node = node;
    this.#socket = socket;
  }

  /** Its answer; null when it does not answer. */
  async ask<M extends 'tell' | 'hello'>(
    method: M,
    params: StoreApi[M]['params'],
  ): Promise<StoreApi[M]['result'] | null> {
    try {
      this.#rpc ??= await this.#connect();
      if (this.#rpc.behindBytes > MAX_BEHIND_BYTES) return null;
      return await this.#rpc.call(method, params, BOUND);
    } catch {
      // It is down, or out of service: it is asked again at the next tick.
      return null;
    }
  }

  close(): void {
    this.#rpc?.close();
  }

  async #connect(): Promise<RpcClient<StoreApi>> {
    const rpc = await RpcClient.connect<StoreApi>(this.#socket);
    void rpc.closed.then(() => {
      if (this.#rpc === rpc) this.#rpc = null;
    });
    return rpc;
  }
}

export class Peers {
  readonly #peers: readonly Peer[];
  #turn = 0;

  constructor(peers: StoreConfig['peers']) {
    this.#peers = peers.map((peer) => new Peer(peer));
  }

  /** One of them, in turn. */
  async fetch(message: Fetch): Promise<readonly FromNode[]> {
    const peer = this.#peers[this.#turn++ % Math.max(1, this.#peers.length)];
    return (await peer?.ask('tell', [message])) ?? [];
  }

  /** Tells all of them how far the log goes; returns what those who answer remember. */
  async hello(node: NodeId, position: number): Promise<{ node: NodeId; position: number }[]> {
    const answers = await Promise.all(
      this.#peers.map(async (peer) => ({
        node: peer.node,
        answer: await peer.ask('hello', { node, position }),
      })),
    );
    return answers.flatMap(({ node: peer, answer }) => (answer ? [{ node: peer, ...answer }] : []));
  }

  close(): void {
    for (const peer of this.#peers) peer.close();
  }
}
