/**
 * A writer at work: the log, the way to the other writers, the engine, and the transactions of its clients. It knows no process and
 * no client protocol: the proxy brings sessions (`Participant`) and connections.
 *
 *   session ─ open ─▶ Transaction ─ propose ─▶ Log      effects: decided ─▶ the session; apply ─▶ EngineLink
 */
import { DbproxyError } from '../../errors/index.js';
import { faultPoint } from '../../fault-point.js';
import { type Blocker, type Calls, openTransactions, type OpenRow, type WriteSet } from '../engine/index.js';
import {
  at,
  type Effect,
  isWithin,
  labelOf,
  type Lsn,
  lowest,
  type NodeId,
  type Outcome,
  type Proposal,
  type Refusal,
  type Ruling,
  TOO_LARGE_HINT,
  type Vector,
} from '../protocol/index.js';
import { EtcdLog } from '../etcd/log.js';
import { assertFits } from '../storage/client.js';
import { Changes } from './changes.js';
import type { PeerMessage, WriterConfig, WriterEvent, WriterState, WriterStatus } from './config.js';
import { Definitions } from './definitions.js';
import { type Connect, EngineLink } from './engine-link.js';
import { InEngine } from './in-engine.js';
import { KeyLocks } from './key-locks.js';
import type { Log, LogListener } from './log.js';
import { Feed } from './feed.js';
import { gatherFacts, type OutcomesHost, type TransactionFacts } from './outcomes.js';
import { Peers } from './peers.js';
import { QuorumLog } from './quorum-log.js';
import { type ReadDemand, Reads } from './reads.js';
import { describeKey, refusalOf } from './refusal.js';
import { type Participant, type RefusedCommit, Transaction, type Verdict } from './transaction.js';
import { VolatileFunctions } from './volatile-functions.js';

const TICK_MS = 200;
/** With more to apply than this, nothing new is proposed. */
const MAX_QUEUE = 1_000;
const MAX_QUEUE_BYTES = 32 * 1024 * 1024;
/** So long another writer may take to say which of its transactions are not over. */
const ASK_TRANSACTIONS_MS = 2_000;
/** So long a read waits for what it has to see. */
const READ_WAIT_MS = 10_000;
/** An entry that waits for somebody unknown is told of once in so many ms. */
const UNKNOWN_BLOCKER_MS = 1_000;

/** What speaks for a transaction where others collide with it. */
export type Claim = Pick<Proposal, 'retries' | 'priority'>;

export class WriterService {
  readonly config: WriterConfig;
  readonly #secret: string;
  readonly #link: EngineLink;
  readonly #log: Log;
  readonly #peers: Peers;
  readonly #participants = new Map<number, Participant>();
  readonly #open = new Set<Transaction>();
  readonly #proposed = new Map<Lsn, Transaction>();
  /** Proposed by sessions that are gone: decided, they are carried out like those of another writer. */
  readonly #orphans = new Set<Lsn>();
  readonly #keys = new KeyLocks();
  readonly #definitions: Definitions;
  readonly #reads: Reads;
  readonly #changes = new Changes();
  #feed: Feed;
  /** For what began before this process see #isWhole. */
  readonly #inEngine = new InEngine();
  readonly #totals = { committed: 0, refused: 0, applied: 0, rolledBack: 0 };
  #hasBegun = false;
  #wasWhole = false;
  #timer: NodeJS.Timeout | null = null;
  #stopped: WriterStatus['why'] = null;
  #isClosed = false;
  #generation = 1;
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
      lost: () => this.#engineLost(),
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
  }

  #logListener(): LogListener {
    return {
      named: (before, lsn) => this.#named(before, lsn),
      effect: (effect) => this.#carryOut(effect),
      contested: (lsn, node, refusal) => this.#contested(lsn, node, refusal),
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
      open: () => this.#open.size,
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
    await Promise.all([this.#link.pause(), this.#untilNobodyCommits()]);
  }

  /** Those whose client is gone: what they commit here now would be missing there. Orphans are replayed there. */
  async #untilNobodyCommits(): Promise<void> {
    while ([...this.#proposed.keys()].some((lsn) => !this.#orphans.has(lsn))) await this.#changes.next();
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
      totals: { ...this.#totals },
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
    return this.#state === 'open' && this.#orphans.size === 0 && this.#link.hasFormer && this.#isWhole;
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
        await this.transactions(),
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
  async transactions(): Promise<TransactionFacts | null> {
    const { id, incarnation } = this.config;
    while (this.#state === 'open') {
      const before = new Set(this.#open);
      const found = await openTransactions((sql) => this.query<OpenRow>(sql)).catch(() => null);
      if (!found) return null;
      // Its backend is gone, and its session may not have heard of that, and propose what it was told before.
      const isUnheard = (one: Transaction): boolean =>
        before.has(one) && !found.names.has(one.participant.backendPid);
      if (![...this.#open].some(isUnheard)) {
        const proposed = [...this.#proposed.values()].flatMap(({ writeSet }) => namesIn(writeSet));
        const open = [...[...found.names.values()].flatMap((name) => name ?? []), ...proposed];
        const upTo = Math.max(at(this.#log.reached, id), at(this.#inEngine.vector, id)) as Lsn;
        return { writer: id, incarnation, at: found.at, open, upTo };
      }
      await this.#changes.next();
    }
    return null;
  }

  /** A transaction begins: its first snapshot is taken next. */
  begin(participant: Participant): Transaction {
    const transaction = new Transaction(
      participant,
      this.#generation,
      this.#inEngine.base(this.#link.durable),
    );
    this.#open.add(transaction);
    return transaction;
  }

  /** It must not be proposed any more. False: it was. */
  giveUp(transaction: Transaction, error: RefusedCommit): boolean {
    if (transaction.state !== 'open') return false;
    transaction.doom = error;
    transaction.state = 'over';
    this.#changes.tell();
    return true;
  }

  /** It was rolled back, or has written nothing. */
  ended(transaction: Transaction): void {
    if (transaction.lsn === null) this.#over(transaction);
  }

  /**
   * Proposes it, and waits for the outcome. With `commit` the session commits it in its engine and says `committed`, or `lost`. Its
   * locks stay until then.
   */
  async propose(transaction: Transaction, writeSet: WriteSet, claim: Claim): Promise<Verdict> {
    try {
      assertFits(writeSet.payload);
    } catch (error) {
      const { sqlstate = '54000', message } = DbproxyError.from(error);
      return this.#refused(transaction, null, { sqlstate, message, hint: TOO_LARGE_HINT });
    }
    if (writeSet.ddl.length > 0 && !this.isPrimary)
      return this.#refused(transaction, null, await this.#definitions.notThePrimary());
    const submitted = (): Promise<Verdict | null> => this.#untilSubmitted(transaction, writeSet, claim);
    const refused = await (writeSet.ddl.length > 0 ? this.#definitions.submitting(submitted) : submitted());
    if (refused) return refused;
    const { outcome, ruling } = await transaction.decided;
    if (writeSet.ddl.length > 0) this.#definitions.decided();
    const { lsn } = transaction;
    if (outcome === 'commit' && lsn !== null) return { kind: 'commit', lsn };
    return this.#refused(transaction, lsn, refusalOf(writeSet, ruling, transaction.refusals));
  }

  /** Not null: it cannot be. */
  async #untilSubmitted(transaction: Transaction, writeSet: WriteSet, claim: Claim): Promise<Verdict | null> {
    for (;;) {
      if (transaction.state !== 'open') return this.#refused(transaction, null, transaction.doom ?? STALE);
      if (this.#submit(transaction, writeSet, claim)) return null;
      if (this.#stopped) {
        const { sqlstate = '57P03', message } = this.#stoppedError();
        return this.#refused(transaction, null, { sqlstate, message });
      }
      await this.#changes.next();
    }
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

  #submit(transaction: Transaction, writeSet: WriteSet, claim: Claim): boolean {
    const isTooMuch = this.#link.queued > MAX_QUEUE || this.#link.queuedBytes > MAX_QUEUE_BYTES;
    if (this.#state !== 'open' || isTooMuch) return false;
    // What its snapshot lacks of its own writer nobody else would notice.
    if (transaction.generation !== this.#generation) {
      transaction.state = 'over';
      return false;
    }
    if (!this.#definitions.mayPropose(writeSet.ddl.length > 0)) return false;
    if (!this.#keys.isFree(writeSet.keys)) return false;
    const { keys, payload } = writeSet;
    const lsn = this.#log.submit({ base: transaction.base, keys, payload, ...claim });
    if (lsn === null) return false;
    this.#keys.take(keys);
    this.#open.delete(transaction);
    transaction.state = 'proposed';
    transaction.lsn = lsn;
    transaction.writeSet = writeSet;
    this.#proposed.set(lsn, transaction);
    return true;
  }

  #refused(transaction: Transaction, lsn: Lsn | null, error: RefusedCommit): Verdict {
    this.#over(transaction);
    this.#totals.refused++;
    const { sqlstate, message, detail = '' } = error;
    this.#feed.tell({
      kind: 'refused',
      lsn,
      session: transaction.participant.session,
      sqlstate,
      message,
      detail,
    });
    return { kind: 'refused', lsn, error };
  }

  /** Accepted, and committed in the engine. */
  committed(transaction: Transaction): void {
    const { lsn, writeSet } = transaction;
    if (lsn !== null) {
      this.#link.committed(lsn);
      this.#hasCommitted(lsn);
    }
    if (writeSet && writeSet.ddl.length > 0) {
      this.#redefined();
      this.#volatile.defined(writeSet.ddl);
    }
    this.#over(transaction);
  }

  /**
   * Proposed, but its session could not commit it, or is gone: if it is decided to commit, it is carried out like one of another
   * writer. Whoever began before that may have missed it, and is rolled back. Resolves when it is in the engine (or aborted).
   */
  async lost(transaction: Transaction): Promise<Outcome> {
    if (transaction.lsn === null) {
      this.#over(transaction);
      return 'abort';
    }
    this.#orphans.add(transaction.lsn);
    this.#generation++;
    for (const open of [...this.#open]) open.participant.overtaken(transaction.lsn);
    const { outcome } = await transaction.decided;
    const { writeSet, lsn } = transaction;
    if (outcome === 'commit' && writeSet && lsn !== null) {
      await this.#link.replay({ lsn, payload: writeSet.payload });
      this.#hasCommitted(lsn);
    }
    if (lsn !== null) this.#orphans.delete(lsn);
    this.#over(transaction);
    return outcome;
  }

  /** What has begun before may know a table, a type or an index by a name that it has no more; those of other writers lose by its key. */
  #redefined(): void {
    this.#generation++;
    for (const open of this.#open) open.doom ??= REDEFINED;
  }

  #hasCommitted(lsn: Lsn): void {
    this.#totals.committed++;
    this.#inEngine.committed(lsn);
  }

  #over(transaction: Transaction): void {
    this.#open.delete(transaction);
    const { writeSet, lsn } = transaction;
    if (lsn !== null && this.#proposed.delete(lsn) && writeSet) this.#keys.release(writeSet.keys);
    transaction.state = 'over';
    this.#changes.tell();
  }

  // --- what the machines say ---------------------------------------------------------------------------------------------

  #tick(): void {
    if (!this.#hasBegun || this.#stopped || this.#isClosed) return;
    this.#link.tick(this.#log.reached);
    const horizon = [...this.#open, ...this.#proposed.values()].reduce(
      (least, { base }) => lowest(least, base),
      this.#link.durable,
    );
    this.#log.tick(horizon);
    void this.#volatile.refresh((sql) => this.query(sql)).catch(() => undefined);
    this.#changes.tell();
  }

  /** Until now it had another name: the log has given it its LSN. */
  #named(before: Lsn, lsn: Lsn): void {
    const transaction = this.#proposed.get(before);
    if (!transaction) return;
    this.#proposed.delete(before);
    this.#proposed.set(lsn, transaction);
    transaction.lsn = lsn;
    if (this.#orphans.delete(before)) this.#orphans.add(lsn);
  }

  #contested(lsn: Lsn, node: NodeId, refusal: Refusal): void {
    const transaction = this.#proposed.get(lsn);
    if (transaction?.state !== 'proposed') return;
    transaction.refusals.push(refusal);
    const { writeSet, participant } = transaction;
    const about = refusal.kind === 'conflict' && writeSet ? describeKey(writeSet, refusal.key) : '';
    this.#feed.tell({ kind: 'contested', lsn, node, refusal, session: participant.session, about });
  }

  #carryOut(effect: Effect): void {
    switch (effect.kind) {
      case 'decided':
        return this.#decided(effect.proposal, effect.outcome, effect.ruling);
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

  #decided(proposal: Proposal, outcome: Outcome, ruling: Ruling | null): void {
    const transaction = this.#proposed.get(proposal.lsn);
    if (!transaction) return;
    if (outcome === 'commit') {
      transaction.state = 'accepted';
      if (!this.#orphans.has(proposal.lsn)) this.#link.expect(proposal);
    }
    if (ruling || transaction.refusals.length > 0) {
      const { session } = transaction.participant;
      this.#feed.tell({ kind: 'settled', lsn: proposal.lsn, outcome, ruling, session });
    }
    void faultPoint('writer.decided').then(() => transaction.settle(outcome, ruling));
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

  #engineLost(): void {
    // Its sessions are gone, or will be: whatever they had open is.
    this.#generation++;
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

const REDEFINED: RefusedCommit = {
  sqlstate: '40001',
  message: 'could not serialize access: the schema was changed meanwhile',
  hint: 'Retry the transaction.',
};
const STALE: RefusedCommit = {
  sqlstate: '40001',
  message: 'could not serialize access: a transaction of this writer was carried out again meanwhile',
  hint: 'Retry the transaction.',
};
