/**
 * A writer at work: the log, the way to the other writers, the engine, and the transactions of its clients. It knows no process and
 * no client protocol: the proxy brings sessions (`Participant`) and connections.
 *
 *   session ─ open ─▶ Transaction ─ propose ─▶ Log      effects: decided ─▶ the session; apply ─▶ EngineLink
 */
import { DbproxyError } from '../../errors/index.js';
import { type Blocker, type Calls, openTransactions, type OpenRow, type WriteSet } from '../engine/index.js';
import { at, type Effect, isWithin, labelOf, type Lsn, type Vector } from '../protocol/index.js';
import { EtcdLog } from '../etcd/log.js';
import { Changes } from './changes.js';
import type { PeerMessage, WriterConfig, WriterEvent, WriterState, WriterStatus } from './config.js';
import { Definitions } from './definitions.js';
import { type Connect, EngineLink } from './engine-link.js';
import { InEngine } from './in-engine.js';
import type { Log, LogListener } from './log.js';
import { Feed } from './feed.js';
import { gatherFacts, type OutcomesHost, type TransactionFacts } from './outcomes.js';
import { Peers } from './peers.js';
import { QuorumLog } from './quorum-log.js';
import { type ReadDemand, Reads } from './reads.js';
import type { Participant, RefusedCommit, Transaction } from './transaction.js';
import { Transactions } from './transactions.js';
import { VolatileFunctions } from './volatile-functions.js';

const TICK_MS = 200;
/** So long another writer may take to say which of its transactions are not over. */
const ASK_TRANSACTIONS_MS = 2_000;
/** So long a read waits for what it has to see. */
const READ_WAIT_MS = 10_000;
/** An entry that waits for somebody unknown is told of once in so many ms. */
const UNKNOWN_BLOCKER_MS = 1_000;

export class WriterService {
  readonly config: WriterConfig;
  readonly #secret: string;
  readonly #link: EngineLink;
  readonly #log: Log;
  readonly #peers: Peers;
  readonly #participants = new Map<number, Participant>();
  readonly transactions: Transactions;
  readonly #definitions: Definitions;
  readonly #reads: Reads;
  readonly #changes = new Changes();
  #feed: Feed;
  /** For what began before this process see #isWhole. */
  readonly #inEngine = new InEngine();
  readonly #totals = { applied: 0, rolledBack: 0 };
  #hasBegun = false;
  #wasWhole = false;
  #timer: NodeJS.Timeout | null = null;
  #stopped: WriterStatus['why'] = null;
  #isClosed = false;
  #toldOfBlockerAt = 0;
  readonly #volatile = new VolatileFunctions();
  /** Called once, when the writer must not go on. */
  onStopped: (error: DbproxyError) => void = () => undefined;

  constructor(config: WriterConfig, secret: string) {
    this.config = config;
    this.#secret = secret;
    this.#feed = new Feed(config.id);
    this.#peers = new Peers(config.peers);
    this.#link = new EngineLink(config.id, {
      applied: (lsn) => {
        this.#inEngine.committed(lsn);
        this.#totals.applied++;
        this.#changes.tell();
      },
      blocked: (lsn, blockers) => this.#clearTheWay(lsn, blockers),
      diverged: (reason) => this.#stop('diverged', reason),
      ready: () => this.#changes.tell(),
      lost: () => this.transactions.engineLost(),
    });
    this.#reads = new Reads({
      quorums: config.quorums,
      waitMs: config.readWaitMs ?? READ_WAIT_MS,
      ask: (message) => this.#log.survey(message),
      hasApplied: (upTo) => this.#hasApplied(upTo),
      reached: () => this.#log.reached,
      change: () => this.#changes.next(),
    });
    const listener = this.#logListener();
    this.#log = config.etcd ? new EtcdLog(config, config.etcd, listener) : new QuorumLog(config, listener);
    this.#definitions = new Definitions({
      writer: config.id,
      log: this.#log,
      peers: this.#peers,
      changes: this.#changes,
      mayDefine: () => this.isPrimary && this.#hasBegun,
      hasAll: () => this.#link.queued === 0,
    });
    this.transactions = new Transactions({
      ...{ log: this.#log, link: this.#link, inEngine: this.#inEngine, definitions: this.#definitions },
      ...{ volatile: this.#volatile, changes: this.#changes, feed: () => this.#feed },
      isOpen: () => this.#state === 'open',
      isPrimary: () => this.isPrimary,
      stopped: () => this.stopped,
    });
  }

  #logListener(): LogListener {
    return {
      named: (before, lsn) => this.transactions.named(before, lsn),
      effect: (effect) => this.#carryOut(effect),
      contested: (lsn, node, refusal) => this.transactions.contested(lsn, node, refusal),
      frontier: (answer) => {
        this.#reads.hear(answer);
        this.#changes.tell();
      },
      event: (event) => {
        this.#feed.tell(event);
        // It may be the one that it has waited for, to be let in.
        if (event.kind === 'leads') setImmediate(() => this.#tick());
      },
      reachable: (node, reachable, why = '') => this.#feed.tell({ kind: 'node', node, reachable, why }),
      stopped: (why, message) => this.#stop(why, message),
      toPeers: (message) => this.#peers.tell(message),
      hasApplied: (upTo) => isWithin(upTo, this.#log.reached) && this.#link.has(upTo),
      open: () => this.transactions.open.size,
      changed: () => this.#changes.tell(),
    };
  }

  /**
   * Its engine: the first time it is made this writer's; later it is the one that took over. `keepsSessions`: those that are on it are
   * at a safe point, and go on with this writer.
   */
  async attach(connect: Connect, keepsSessions = false): Promise<void> {
    const { id, writers, incarnation } = this.config;
    if (this.#hasBegun) return this.#link.attach(connect);
    const installation = { writer: id, writers, incarnation, secret: this.#secret };
    const has = await this.#link.begin(connect, installation, keepsSessions);
    this.#inEngine.begin(this.#link.claimed);
    this.#log.begin(has);
    this.#hasBegun = true;
    this.#timer = setInterval(() => this.#tick(), this.config.tickMs ?? TICK_MS);
    this.#tick();
  }

  /**
   * Nothing is applied between the two, and nobody commits what was proposed: the engine is being changed for another. Who asks gives
   * up after a while, and resumes.
   */
  async pause(): Promise<void> {
    await Promise.all([this.#link.pause(), this.transactions.untilNobodyCommits()]);
  }

  resume(): void {
    this.#link.resume();
  }

  lead(epoch: number): void {
    if (!this.#isClosed) this.#log.lead(epoch);
  }

  get isPrimary(): boolean {
    return this.#log.leads !== null;
  }

  /** What another writer's proxy says. */
  hear(messages: readonly PeerMessage[]): void {
    if (this.#isClosed) return;
    for (const message of messages) this.#log.hear(message);
  }

  status(): WriterStatus {
    const { id, url = null, incarnation } = this.config;
    return {
      id,
      url,
      incarnation,
      state: this.#state,
      why: this.#stopped,
      leads: this.#isClosed ? null : this.#log.leads,
      primary: this.#log.primary,
      reached: this.#log.reached,
      durable: this.#link.durable,
      queues: {
        proposed: this.#log.inFlight,
        waiting: this.#changes.waiting,
        apply: this.#link.queued,
        applyBytes: this.#link.queuedBytes,
      },
      totals: { ...this.transactions.totals, ...this.#totals },
      nodes: this.#log.nodes,
    };
  }

  get #state(): WriterState {
    if (this.#stopped || this.#isClosed) return 'stopped';
    if (!this.#hasBegun || !this.#link.isReady) return 'without-engine';
    const { state } = this.#log;
    return state === 'fenced' ? 'stopped' : state;
  }

  /** DBP_WRITER_STOPPED, with the reason; null: it goes on. */
  get stopped(): DbproxyError | null {
    return this.#stopped && this.#stoppedError();
  }

  /** Events from now on; returns what ends it. */
  follow(listener: (event: WriterEvent) => void): () => void {
    return this.#feed.follow(listener);
  }

  /** Whoever listens to the incarnation before listens to this one. */
  follows(before: WriterService): void {
    this.#feed = before.#feed;
  }

  /** How the engine is spoken to at a COMMIT. */
  get calls(): Calls {
    return this.#link.calls;
  }

  /** A query on the database that is written, as superuser. */
  query<Row>(sql: string): Promise<Row[]> {
    return this.#link.query<Row>(sql);
  }

  /** Completes "the writer …"; null: another incarnation of it could open. */
  whyNotReplaceable(): string | null {
    if (this.#state !== 'open') return `is ${this.#state}`;
    const reachable = this.#log.nodes.filter((node) => node.reachable).length;
    const needed = this.config.etcd ? 1 : this.config.quorums.classic;
    return reachable < needed ? 'has no majority of its storage nodes' : null;
  }

  /** Resolves when it takes part. Throws DBP_WRITER_STOPPED. */
  async opened(): Promise<void> {
    while (this.#state !== 'open') {
      if (this.#stopped) throw this.#stoppedError();
      await this.#changes.next();
    }
  }

  /** It takes no part any more; another incarnation of it may. */
  close(): void {
    this.#isClosed = true;
    this.#feed.tell({ kind: 'closed' });
    if (this.#timer) clearInterval(this.#timer);
    this.#log.close();
    this.#peers.close();
    this.#link.close();
    this.#changes.tell();
  }

  /** May calling a function of that name write? */
  isVolatile(name: string): boolean {
    return this.#volatile.has(name);
  }

  // --- transactions of clients -------------------------------------------------------------------------------------------

  join(participant: Participant): () => void {
    this.#participants.set(participant.backendPid, participant);
    return () => {
      if (this.#participants.get(participant.backendPid) === participant)
        this.#participants.delete(participant.backendPid);
      this.#definitions.passTurn(participant);
    };
  }

  /** Null: transactions may begin. Else when they may; throws DBP_WRITER_STOPPED. */
  whenReady(): Promise<void> | null {
    return this.#isReady ? null : this.#untilReady();
  }

  /**
   * What this writer has committed is in its engine, but for what sessions there hold the locks of: the log tells no transaction that
   * it has missed one of its own writer. And nothing is missing before what the engine had at first, for a base to be true: a copy may
   * have what its source committed later and not what it was about to.
   */
  get #isReady(): boolean {
    return this.#state === 'open' && !this.transactions.hasOrphans && this.#link.hasFormer && this.#isWhole;
  }

  get #isWhole(): boolean {
    this.#wasWhole ||= isWithin(this.#link.claimed, this.#log.reached) && this.#link.has(this.#link.claimed);
    return this.#wasWhole;
  }

  async #untilReady(): Promise<void> {
    while (!this.#isReady) {
      if (this.#stopped) throw this.#stoppedError();
      await this.#changes.next();
    }
  }

  /** Before a snapshot is taken; see `Reads.untilApplied`. */
  untilApplied(demand: ReadDemand, signal: AbortSignal): Promise<RefusedCommit | null> {
    return this.#reads.untilApplied(demand, signal);
  }

  #hasApplied(upTo: Vector): boolean {
    if (this.#stopped) throw this.#stoppedError();
    return this.#isReady && isWithin(upTo, this.#log.reached) && this.#link.has(upTo);
  }

  /** For `dbproxy.txn_status`, before the statement that asks; see `gatherFacts`. */
  transactionFacts(signal: AbortSignal): Promise<string | RefusedCommit> {
    const host: OutcomesHost = {
      waitMs: this.config.readWaitMs ?? READ_WAIT_MS,
      ask: async () => [
        await this.facts(),
        ...(await this.#peers.ask('writer.transactions', {}, ASK_TRANSACTIONS_MS)),
      ],
      hasApplied: (upTo) => this.#hasApplied(upTo),
      change: () => this.#changes.next(),
    };
    return gatherFacts(host, signal);
  }

  /**
   * Null: it is not open, or cannot say. The engine is asked first: what is over there by then is still to be carried out, and among
   * those that were proposed; or is counted as committed; or never will be.
   */
  async facts(): Promise<TransactionFacts | null> {
    const { id, incarnation } = this.config;
    while (this.#state === 'open') {
      const before = new Set(this.transactions.open);
      const found = await openTransactions((sql) => this.query<OpenRow>(sql)).catch(() => null);
      if (!found) return null;
      // Its backend is gone, and its session may not have heard of that, and propose what it was told before.
      const isUnheard = (one: Transaction): boolean =>
        before.has(one) && !found.names.has(one.participant.backendPid);
      if (![...this.transactions.open].some(isUnheard)) {
        const proposed = this.transactions.proposed.flatMap(({ writeSet }) => namesIn(writeSet));
        const open = [...[...found.names.values()].flatMap((name) => name ?? []), ...proposed];
        const upTo = Math.max(at(this.#log.reached, id), at(this.#inEngine.vector, id)) as Lsn;
        return { writer: id, incarnation, at: found.at, open, upTo };
      }
      await this.#changes.next();
    }
    return null;
  }

  /** Before a statement that changes definitions (definitions.ts). */
  quiesce(participant: Participant): Promise<void> {
    return this.#definitions.quiesce(participant);
  }

  passTurn(participant: Participant): void {
    this.#definitions.passTurn(participant);
  }

  /** Asked by the primary. */
  beQuiet(forMs: number): ReturnType<Definitions['beQuiet']> {
    return this.#definitions.beQuiet(forMs);
  }

  // --- what the machines say ---------------------------------------------------------------------------------------------

  #tick(): void {
    if (!this.#hasBegun || this.#stopped || this.#isClosed) return;
    this.#link.tick(this.#log.reached);
    this.#log.tick(this.transactions.horizon(this.#link.durable));
    void this.#volatile.refresh((sql) => this.query(sql)).catch(() => undefined);
    this.#changes.tell();
  }

  #carryOut(effect: Effect): void {
    switch (effect.kind) {
      case 'decided':
        return this.transactions.decided(effect.proposal, effect.outcome, effect.ruling);
      case 'apply':
        return this.#link.enqueue(effect.proposal);
      case 'opened':
        this.#feed.tell({ kind: 'opened', incarnation: effect.incarnation });
        return this.#changes.tell();
      case 'fenced':
        return this.#stop('fenced', 'a newer process of this writer has begun');
      case 'left-behind':
        return this.#stop(
          'diverged',
          'it was away for too long: the storage nodes no longer have what this engine lacks',
        );
    }
  }

  // --- what stands in the way --------------------------------------------------------------------------------------------

  #clearTheWay(lsn: Lsn, blockers: readonly Blocker[]): void {
    for (const { pid, waitedMs } of blockers) {
      const participant = this.#participants.get(pid);
      if (participant) {
        if (!participant.overtaken(lsn)) continue;
        this.#totals.rolledBack++;
        this.#feed.tell({ kind: 'rolled-back', lsn, session: participant.session, waitedMs });
      } else if (performance.now() - this.#toldOfBlockerAt > UNKNOWN_BLOCKER_MS) {
        this.#toldOfBlockerAt = performance.now();
        this.#feed.tell({ kind: 'apply-waits', lsn, backend: pid, waitedMs });
      }
    }
  }

  #stop(why: 'fenced' | 'diverged', message: string): void {
    if (this.#stopped) return;
    this.#stopped = { kind: why, message };
    this.#feed.tell({ kind: 'stopped', why, message });
    this.onStopped(this.#stoppedError());
    this.#changes.tell();
  }

  #stoppedError(): DbproxyError {
    const { id } = this.config;
    return new DbproxyError('DBP_WRITER_STOPPED', {
      writer: labelOf(id),
      reason: this.#stopped?.message ?? '',
    });
  }
}

/** As the engine names them, without the writer and its incarnation. */
const namesIn = (writeSet: WriteSet | null): string[] =>
  (writeSet?.changes ?? []).flatMap((change) =>
    change.kind === 'name' ? change.id.split('.').slice(2).join('.') : [],
  );
