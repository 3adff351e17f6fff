/**
 * A writer's (and the primary's) way to the storage nodes: messages out, answers and news in. A node that is away is tried again; what
 * was meant for it meanwhile is lost, which the protocol is made for.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { RpcClient } from '../../rpc/index.js';
import { DbproxyError } from '../../errors/index.js';
import {
  type Facts,
  type FromNode,
  MAX_PROPOSAL_BYTES,
  type NodeId,
  type ToNode,
  type WriterId,
} from '../protocol/index.js';
import { type Company, Gather } from './gather.js';
import { MAX_BEHIND_BYTES, type News, type StoreApi, type StoreConfig } from './api.js';

const RETRY_MS = 50;
/** So long one node may take to answer, before another one is asked the same. */
const ONE_MS = 2_000;

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

/** Names what wants an answer; null: it is told, or an answer is worth having anew. */
function questionOf(message: ToNode): string | null {
  switch (message.kind) {
    case 'propose':
      return `propose ${message.proposal.lsn}`;
    case 'prepare':
      return `prepare ${message.epoch}`;
    case 'seal':
      return `seal ${message.epoch} ${message.round} ${message.slot} ${message.proposals.map(({ lsn }) => lsn).join(' ')}`;
    case 'decide':
      return `decide ${message.epoch} ${message.slot}`;
    default:
      return null;
  }
}

/** So much goes out at once; one transaction may be larger. */
const MAX_TOGETHER_BYTES = 1024 * 1024;
const bytesOf = (message: ToNode): number =>
  message.kind === 'propose' ? message.proposal.payload.length : 0;

/** Many, and one after the other. The primary's are few, and nobody's transaction has to wait behind another's. */
const isOfTheStream = ({ kind }: ToNode): boolean => kind === 'propose' || kind === 'committed';

type ForPrimary = Extract<News, { to: 'primary' }>['message'];

class NodeLink {
  readonly #node: NodeId;
  readonly #socket: string;
  readonly #listener: StoreListener;
  readonly #connected: () => void;
  #rpc: RpcClient<StoreApi> | null = null;
  /** Not answered yet, on this connection. */
  #asked = new Set<string>();
  /** Of the stream of transactions, while the node has not answered to what came before: it goes out at once then. */
  #next: ToNode[] = [];
  #nextBytes = 0;
  #isStreaming = false;
  #timer: NodeJS.Timeout | null = null;
  #isClosed = false;

  constructor(
    { node, socket }: StoreConfig['peers'][number],
    listener: StoreListener,
    connected: () => void,
  ) {
    this.#node = node;
    this.#socket = socket;
    this.#listener = listener;
    this.#connected = connected;
    void this.#connect();
  }

  get rpc(): RpcClient<StoreApi> | null {
    return this.#rpc;
  }

  /** Resolves when it has answered, or cannot. */
  async ask(message: ToNode): Promise<void> {
    const rpc = this.#rpc;
    if (rpc && rpc.behindBytes + this.#nextBytes <= MAX_BEHIND_BYTES) await this.#call(rpc, [message]);
  }

  /**
   * What is asked again while the node has not answered yet is on its way already: where a node is slow, or a transaction large, to
   * send it once more would only make both slower.
   */
  tell(messages: readonly ToNode[]): void {
    const rpc = this.#rpc;
    if (!rpc) return;
    for (const message of messages) {
      if (rpc.behindBytes + this.#nextBytes > MAX_BEHIND_BYTES) break;
      const question = questionOf(message);
      if (question !== null && this.#asked.has(question)) continue;
      if (question !== null) this.#asked.add(question);
      if (isOfTheStream(message)) this.#keep(message);
      else void this.#call(rpc, [message]);
    }
    if (this.#next.length > 0 && !this.#isStreaming) void this.#stream(rpc);
  }

  #keep(message: ToNode): void {
    this.#next.push(message);
    this.#nextBytes += bytesOf(message);
  }

  /** A node that is at work on some, and on a sync, would begin with the others no sooner; to wake it, and to be woken, costs more. */
  async #stream(rpc: RpcClient<StoreApi>): Promise<void> {
    this.#isStreaming = true;
    while (this.#next.length > 0 && rpc === this.#rpc) await this.#call(rpc, this.#takeNext());
    if (rpc === this.#rpc) this.#isStreaming = false;
  }

  #takeNext(): ToNode[] {
    let [count, bytes] = [0, 0];
    for (const message of this.#next) {
      if (count > 0 && bytes + bytesOf(message) > MAX_TOGETHER_BYTES) break;
      count++;
      bytes += bytesOf(message);
    }
    this.#nextBytes -= bytes;
    return this.#next.splice(0, count);
  }

  async #call(rpc: RpcClient<StoreApi>, messages: readonly ToNode[]): Promise<void> {
    const asked = this.#asked;
    try {
      const answers = await rpc.call('tell', messages);
      for (const message of messages) asked.delete(questionOf(message) ?? '');
      for (const answer of answers) this.#listener.answer(this.#node, answer);
    } catch {
      // The connection is gone, and with it the question: whoever waits for an answer asks again.
    }
  }

  /** Resolves when it has to be read elsewhere. */
  async read(writer: WriterId | null): Promise<void> {
    const onProgress = (message: Facts): void => this.#listener.news(this.#node, { to: 'writers', message });
    await this.#rpc?.call('read', { writer }, { onProgress }).catch(() => undefined);
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
      this.#asked = new Set();
      this.#next = [];
      this.#nextBytes = 0;
      this.#isStreaming = false;
      const onProgress = (message: ForPrimary): void =>
        this.#listener.news(this.#node, { to: 'primary', message });
      void rpc.call('follow', {}, { onProgress }).catch(() => undefined);
      this.#connected();
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
  readonly #links: readonly NodeLink[];
  readonly #writer: WriterId | null;
  readonly #gather: Gather;
  #turn = 0;
  /** One has been asked and has not answered: until then it may. */
  #oneUntil = 0;
  #isReading = false;
  #isClosed = false;

  /** `writer`: who asks, and need not be told of its own commits. `company`: how many transactions it has at the moment. */
  constructor(
    nodes: StoreConfig['peers'],
    listener: StoreListener,
    writer: WriterId | null = null,
    company = (): Company => ({ open: 0, inFlight: 0 }),
  ) {
    this.#writer = writer;
    this.#gather = new Gather(company, (messages) => this.#tellAll(messages));
    this.#links = nodes.map((one) => new NodeLink(one, listener, () => void this.#read()));
  }

  toAll(message: ToNode): void {
    if (isOfTheStream(message)) this.#gather.add(message);
    else this.#tellAll([message]);
  }

  /** One of those that can be reached, in turn; not while one is at it: its answer may be large, and would come twice. */
  toOne(message: ToNode): void {
    const node = this.#next();
    if (!node || performance.now() < this.#oneUntil) return;
    const until = (this.#oneUntil = performance.now() + ONE_MS);
    void node.ask(message).then(() => {
      if (this.#oneUntil === until) this.#oneUntil = 0;
    });
  }

  close(): void {
    this.#isClosed = true;
    this.#gather.close();
    for (const link of this.#links) link.close();
  }

  #tellAll(messages: readonly ToNode[]): void {
    for (const link of this.#links) link.tell(messages);
  }

  #next(): NodeLink | undefined {
    const reachable = this.#links.filter(({ rpc }) => rpc !== null);
    return reachable[this.#turn++ % Math.max(1, reachable.length)];
  }

  /** What is decided, all nodes would say; one of them is enough. What it leaves out is fetched at a tick. */
  async #read(): Promise<void> {
    if (this.#isReading) return;
    this.#isReading = true;
    for (let node = this.#next(); node && !this.#isClosed; node = this.#next()) {
      await node.read(this.#writer);
      await delay(RETRY_MS);
    }
    this.#isReading = false;
  }
}
