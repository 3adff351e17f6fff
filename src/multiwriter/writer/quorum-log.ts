/** The log that storage nodes keep: the protocol's machines, with the way to the nodes and to the other writers. */
import {
  Adjudicator,
  type AdjudicatorOutput,
  type FromNode,
  type Lsn,
  type NodeId,
  type Submission,
  type Survey,
  type ToPrimary,
  type Vector,
  Writer,
  type WriterOutput,
} from '../protocol/index.js';
import type { News } from '../storage/api.js';
import { StoreClient, type StoreListener } from '../storage/client.js';
import type { Company } from '../storage/gather.js';
import type { PeerMessage, WriterConfig } from './config.js';
import type { Log, LogListener } from './log.js';

export class QuorumLog implements Log {
  readonly #config: WriterConfig;
  readonly #listener: LogListener;
  readonly #store: StoreClient;
  readonly #adjudicator: Adjudicator;
  readonly #reachable = new Map<NodeId, boolean>();
  #writer: Writer | null = null;
  #primary: Log['primary'] = null;

  constructor(config: WriterConfig, listener: LogListener) {
    this.#config = config;
    this.#listener = listener;
    this.#adjudicator = new Adjudicator(config.quorums, config.policy);
    for (const { node } of config.nodes) this.#reachable.set(node, false);
    const said: StoreListener = {
      answer: (node, message) => this.#answer(node, message),
      news: (_node, news) => this.#news(news),
      reachable: (node, reachable) => {
        this.#reachable.set(node, reachable);
        this.#listener.reachable(node, reachable);
      },
    };
    const company = (): Company => ({ open: listener.open(), inFlight: this.inFlight });
    this.#store = new StoreClient(config.nodes, said, config.id, company);
  }

  get state(): Log['state'] {
    return this.#writer?.state ?? 'opening';
  }
  get reached(): Vector {
    return this.#writer?.reached ?? {};
  }
  get inFlight(): number {
    return this.#writer?.inFlight ?? 0;
  }
  get leads(): number | null {
    return this.#adjudicator.isLeading ? this.#adjudicator.epoch : null;
  }
  get primary(): Log['primary'] {
    return this.#primary;
  }
  get nodes(): Log['nodes'] {
    return [...this.#reachable].map(([node, reachable]) => ({ node, reachable }));
  }

  begin(has: Vector): void {
    const { id, incarnation, quorums, writers } = this.#config;
    this.#writer = new Writer(id, incarnation, quorums, has, writers);
  }

  lead(epoch: number): void {
    this.#tellAdjudicated(this.#adjudicator.lead(epoch));
  }

  submit(submission: Submission): Lsn | null {
    const submitted = this.#writer?.submit(submission);
    if (!submitted) return null;
    this.#did(submitted.output);
    return submitted.lsn;
  }

  survey(message: Survey): void {
    this.#store.toAll(message);
  }

  hear(message: PeerMessage): void {
    if (message.kind === 'facts') this.#did(this.#writer?.receive(message));
    else if (message.kind === 'primary') this.#hearOfPrimary(message);
    else this.#tellAdjudicated(this.#adjudicator.receive(message));
  }

  tick(horizon: Vector): void {
    this.#did(this.#writer?.tick(horizon));
    this.#tellAdjudicated(this.#adjudicator.tick());
    if (this.#adjudicator.isLeading) this.#announce();
  }

  close(): void {
    this.#store.close();
  }

  #announce(): void {
    const message = { kind: 'primary', writer: this.#config.id, epoch: this.#adjudicator.epoch } as const;
    this.#hearOfPrimary(message);
    this.#listener.toPeers(message);
  }

  #hearOfPrimary({ writer, epoch }: Extract<PeerMessage, { kind: 'primary' }>): void {
    if (!this.#primary || epoch > this.#primary.epoch) this.#primary = { writer, epoch };
  }

  #answer(node: NodeId, message: FromNode): void {
    switch (message.kind) {
      case 'vote':
        if (message.refusal) this.#listener.contested(message.lsn, node, message.refusal);
        return this.#did(this.#writer?.receive(message));
      case 'facts':
        return this.#did(this.#writer?.receive(message));
      case 'frontier':
        return this.#listener.frontier(message);
      default:
        return this.#tellAdjudicated(this.#adjudicator.receive(message));
    }
  }

  #news(news: News): void {
    if (news.to === 'writers') this.#did(this.#writer?.receive(news.message));
    else this.#tellAdjudicated(this.#adjudicator.receive(news.message));
  }

  #did(output: WriterOutput | undefined): void {
    if (!output) return;
    for (const { to, message } of output.sends) {
      if (to === 'nodes') this.#store.toAll(message);
      else if (to === 'a-node') this.#store.toOne(message);
      else this.#toPrimary(message);
    }
    for (const effect of output.effects) this.#listener.effect(effect);
    this.#listener.changed();
  }

  /** Whoever leads: those that do not, pay no attention. */
  #toPrimary(message: ToPrimary): void {
    this.#listener.toPeers(message);
    if (this.#adjudicator.isLeading)
      setImmediate(() => this.#tellAdjudicated(this.#adjudicator.receive(message)));
  }

  #tellAdjudicated({ sends, events }: AdjudicatorOutput): void {
    for (const event of events) {
      if (event.kind === 'leads') this.#announce();
      this.#listener.event(event);
    }
    for (const { to, message } of sends) {
      if (to === 'nodes') this.#store.toAll(message);
      else {
        this.#listener.toPeers(message);
        this.#did(this.#writer?.receive(message));
      }
    }
  }
}
