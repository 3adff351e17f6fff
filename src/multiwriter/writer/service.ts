/**
 * A writer at work: the log, the way to the other writers, the engine, and the transactions of its clients. It knows no process and
 * no client protocol: the proxy brings sessions (`Participant`) and connections.
 *
 *   session ─ open ─▶ Transaction ─ propose ─▶ Log      effects: decided ─▶ the session; apply ─▶ EngineLink
 */
import { setTimeout as delay } from 'node:timers/promises';
import { DbproxyError } from '../../errors/index.js';
import { faultPoint } from '../../fault-point.js';
import { type Blocker, type Calls, openTransactions, type OpenRow, type WriteSet } from '../engine/index.js';
import {
  at,
  type Effect,
  highest,
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
  type WriterId,
  writerOf,
} from '../protocol/index.js';
import { EtcdLog } from '../etcd/log.js';
import { assertFits } from '../storage/client.js';
import type { PeerMessage, WriterConfig, WriterEvent, WriterState, WriterStatus } from './config.js';
import { type Connect, EngineLink } from './engine-link.js';
import { KeyLocks } from './key-locks.js';
import type { Log, LogListener } from './log.js';
import { gatherFacts, type OutcomesHost, type TransactionFacts } from './outcomes.js';
import { Peers } from './peers.js';
import { QuorumLog } from './quorum-log.js';
import { type ReadDemand, Reads } from './reads.js';
import { describeKey, refusalOf } from './refusal.js';
import { type Participant, type RefusedCommit, Transaction, type Verdict } from './transaction.js';
import { Turns } from './turns.js';
import { VolatileFunctions } from './volatile-functions.js';

const TICK_MS = 200;
/** With more to apply than this, nothing new is proposed. */
const MAX_QUEUE = 1_000;
const MAX_QUEUE_BYTES = 32 * 1024 * 1024;
/** So long the others wait for one that changes definitions. */
const QUIET_MS = 1_000;
/** So long one that changes definitions waits for another one of this writer; and while the client of that one says nothing. */
const TURN = { limitMs: 5_000, quietMs: 1_000 };
/** So long another writer may take to say which of its transactions are not over. */
const ASK_TRANSACTIONS_MS = 2_000;
/** So long the primary may take to say where its clients connect. */
const ASK_URL_MS = 2_000;
const ASK_AGAIN_MS = 50;
/** So long a read waits for what it has to see. */
const READ_WAIT_MS = 10_000;
/** An entry that waits for somebody unknown is told of once in so many ms. */
const UNKNOWN_BLOCKER_MS = 1_000;

type Body<T> = T extends unknown ? Omit<T, 'at' | 'writer'> : never;
export type EventBody = Body<WriterEvent>;

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
  /** Changes of definitions that wait for their keys, of which every transaction has one: nobody else takes some meanwhile. */
  #definitions = 0;
  readonly #turns = new Turns<Participant>();
  readonly #reads: Reads;
  readonly #listeners = new Set<(event: WriterEvent) => void>();
  /** Of each writer the last that is committed in the engine; for what began before this process see #isWhole. */
  #inEngine: Vector = {};
  /** Durable, and in #inEngine. */
  #counted: Vector = {};
  readonly #totals = { committed: 0, refused: 0, applied: 0, rolledBack: 0 };
  #hasBegun = false;
  #wasWhole = false;
  #timer: NodeJS.Timeout | null = null;
  #stopped: WriterStatus['why'] = null;
  #isClosed = false;
  /** Proposals wait until then (ms, monotonic): another writer changes definitions. */
  #quietUntil = 0;
  #waiting: (() => void)[] = [];
  #generation = 1;
  #toldOfBlockerAt = 0;
  readonly #volatile = new VolatileFunctions();
  /** Called once, when the writer must not go on. */
  onStopped: (error: DbproxyError) => void = () => undefined;

  constructor(config: WriterConfig, secret: string) {
    this.config = config;
    this.#secret = secret;
    this.#peers = new Peers(config.peers);
    this.#link = new EngineLink(config.id, {
      applied: (lsn) => {
        this.#isInEngine(lsn);
        this.#totals.applied++;
        this.#wake();
      },
      blocked: (lsn, blockers) => this.#clearTheWay(lsn, blockers),
      diverged: (reason) => this.#stop('diverged', reason),
      ready: () => this.#wake(),
      lost: () => this.#engineLost(),
    });
    this.#reads = new Reads({
      quorums: config.quorums,
      waitMs: config.readWaitMs ?? READ_WAIT_MS,
      ask: (message) => this.#log.survey(message),
      hasApplied: (upTo) => this.#hasApplied(upTo),
      reached: () => this.#log.reached,
      change: () => this.#change(),
    });
    const listener = this.#logListener();
    this.#log = config.etcd ? new EtcdLog(config, config.etcd, listener) : new QuorumLog(config, listener);
  }

  #logListener(): LogListener {
    return {
      named: (before, lsn) => this.#named(before, lsn),
      effect: (effect) => this.#carryOut(effect),
      contested: (lsn, node, refusal) => this.#contested(lsn, node, refusal),
      frontier: (answer) => {
        this.#reads.hear(answer);
        this.#wake();
      },
      event: (event) => {
        this.#tell(event);
        // It may be the one that it has waited for, to be let in.
        if (event.kind === 'leads') setImmediate(() => this.#tick());
      },
      reachable: (node, reachable, why = '') => this.#tell({ kind: 'node', node, reachable, why }),
      stopped: (why, message) => this.#stop(why, message),
      toPeers: (message) => this.#peers.tell(message),
      hasApplied: (upTo) => isWithin(upTo, this.#log.reached) && this.#link.has(upTo),
      open: () => this.#open.size,
      changed: () => this.#wake(),
    };
  }

  /**
   * Its engine: the first time it is made this writer's; later it is the one that took over. `keepsSessions`: those that are on it are
   * at a safe point, and go on with this writer.
   */
  async attach(connect: Connect, keepsSessions = false): Promise<void> {
    const { id, writers, incarnation } = this.config;
    if (this.#hasBegun) return this.#link.attach(connect);
    const has = await this.#link.begin(
      connect,
      { ...{ writer: id, writers, incarnation, secret: this.#secret } },
      keepsSessions,
    );
    this.#inEngine = this.#link.claimed;
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
    while ([...this.#proposed.keys()].some((lsn) => !this.#orphans.has(lsn))) await this.#change();
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
        waiting: this.#waiting.length,
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
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** How the engine is spoken to at a COMMIT. */
  get calls(): Calls {
    return this.#link.calls;
  }

  /** A query on the database that is written, as superuser. */
  query<Row>(sql: string): Promise<Row[]> {
    return this.#link.query<Row>(sql);
  }

  /** Resolves when it takes part. Throws DBP_WRITER_STOPPED. */
  async opened(): Promise<void> {
    while (this.#state !== 'open') {
      if (this.#stopped) throw this.#stoppedError();
      await this.#change();
    }
  }

  /** It takes no part any more; another incarnation of it may. */
  close(): void {
    this.#isClosed = true;
    this.#tell({ kind: 'closed' });
    if (this.#timer) clearInterval(this.#timer);
    this.#log.close();
    this.#peers.close();
    this.#link.close();
    this.#wake();
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
      this.#turns.pass(participant);
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
      await this.#change();
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
      change: () => this.#change(),
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
        const upTo = Math.max(at(this.#log.reached, id), at(this.#inEngine, id)) as Lsn;
        return { writer: id, incarnation, at: found.at, open, upTo };
      }
      await this.#change();
    }
    return null;
  }

  /** A transaction begins: its first snapshot is taken next. */
  begin(participant: Participant): Transaction {
    const transaction = new Transaction(participant, this.#generation, this.#base());
    this.#open.add(transaction);
    return transaction;
  }

  /** Not below what is durable, which is the horizon of what the log remembers: an LSN that came to nothing counts there, too. */
  #base(): Vector {
    const { durable } = this.#link;
    if (durable !== this.#counted) this.#inEngine = highest(this.#inEngine, durable);
    this.#counted = durable;
    return this.#inEngine;
  }

  /** It must not be proposed any more. False: it was. */
  giveUp(transaction: Transaction, error: RefusedCommit): boolean {
    if (transaction.state !== 'open') return false;
    transaction.doom = error;
    transaction.state = 'over';
    this.#wake();
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
      return this.#refused(transaction, null, await this.#notThePrimary());
    if (writeSet.ddl.length > 0) this.#definitions++;
    try {
      const refused = await this.#untilSubmitted(transaction, writeSet, claim);
      if (refused) return refused;
    } finally {
      if (writeSet.ddl.length > 0) this.#definitions--;
    }
    const { outcome, ruling } = await transaction.decided;
    if (writeSet.ddl.length > 0) void this.#peers.ask('writer.quiet', { forMs: 0 }, QUIET_MS);
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
      await this.#change();
    }
  }

  /**
   * Before definitions are changed here: it is its turn among those of this writer, and the others propose nothing for a while, and what they have committed is here. Without it a
   * change would lose against whoever has committed since it began, again and again.
   */
  async quiesce(participant: Participant): Promise<void> {
    if (!this.isPrimary || !this.#hasBegun) return;
    await this.#turns.take(participant, TURN);
    const answers = await this.#peers.ask('writer.quiet', { forMs: QUIET_MS }, QUIET_MS);
    const end = performance.now() + QUIET_MS;
    for (const answer of answers) {
      while (answer && !this.#has(answer.writer, answer.upTo) && performance.now() < end)
        await this.#change();
    }
  }

  /** Its transaction is over, or has not begun. */
  passTurn(participant: Participant): void {
    this.#turns.pass(participant);
  }

  #has(writer: WriterId, upTo: Lsn): boolean {
    return this.#link.queued === 0 && at(this.#log.reached, writer) >= upTo;
  }

  /** Of the primary: proposes nothing for so long, and says how far its own transactions go. 0: it may go on. */
  async beQuiet(forMs: number): Promise<{ writer: WriterId; upTo: Lsn }> {
    const end = performance.now() + forMs;
    this.#quietUntil = end;
    this.#wake();
    while (this.#log.inFlight > 0 && performance.now() < end) await this.#change();
    const { id } = this.config;
    return { writer: id, upTo: at(this.#log.reached, id) };
  }

  /**
   * It is asked where its clients connect: it may have come, or have moved to another port, after this process began; and where it has
   * just begun, the two may not know each other yet.
   */
  async #notThePrimary(): Promise<RefusedCommit> {
    const message = 'definitions are changed through the primary writer';
    for (const end = performance.now() + ASK_URL_MS; ; await delay(ASK_AGAIN_MS)) {
      const { primary } = this.#log;
      const answers = primary ? await this.#peers.ask('writer.status', {}, ASK_URL_MS) : [];
      const answer = answers.find((one) => one?.id === primary?.writer);
      if (!answer && performance.now() < end) continue;
      const who = primary ? `writer ${labelOf(primary.writer)}` : 'nobody, at the moment';
      const url = answer?.url ?? null;
      return { sqlstate: '0A000', message, hint: `That is ${who}${url === null ? '.' : `: ${url}`}` };
    }
  }

  #submit(transaction: Transaction, writeSet: WriteSet, claim: Claim): boolean {
    const isTooMuch = this.#link.queued > MAX_QUEUE || this.#link.queuedBytes > MAX_QUEUE_BYTES;
    if (this.#state !== 'open' || isTooMuch || performance.now() < this.#quietUntil) return false;
    // What its snapshot lacks of its own writer nobody else would notice.
    if (transaction.generation !== this.#generation) {
      transaction.state = 'over';
      return false;
    }
    if (this.#definitions > 0 && writeSet.ddl.length === 0) return false;
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
    this.#tell({
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
    this.#isInEngine(lsn);
  }

  #isInEngine(lsn: Lsn): void {
    const writer = writerOf(lsn);
    if (lsn > at(this.#inEngine, writer)) this.#inEngine = { ...this.#inEngine, [writer]: lsn };
  }

  #over(transaction: Transaction): void {
    this.#open.delete(transaction);
    const { writeSet, lsn } = transaction;
    if (lsn !== null && this.#proposed.delete(lsn) && writeSet) this.#keys.release(writeSet.keys);
    transaction.state = 'over';
    this.#wake();
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
    this.#wake();
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
    this.#tell({ kind: 'contested', lsn, node, refusal, session: participant.session, about });
  }

  #carryOut(effect: Effect): void {
    switch (effect.kind) {
      case 'decided':
        return this.#decided(effect.proposal, effect.outcome, effect.ruling);
      case 'apply':
        return this.#link.enqueue(effect.proposal);
      case 'opened':
        this.#tell({ kind: 'opened', incarnation: effect.incarnation });
        return this.#wake();
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
      this.#tell({ kind: 'settled', lsn: proposal.lsn, outcome, ruling, session });
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
        this.#tell({ kind: 'rolled-back', lsn, session: participant.session, waitedMs });
      } else if (performance.now() - this.#toldOfBlockerAt > UNKNOWN_BLOCKER_MS) {
        this.#toldOfBlockerAt = performance.now();
        this.#tell({ kind: 'apply-waits', lsn, backend: pid, waitedMs });
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
    this.#tell({ kind: 'stopped', why, message });
    this.onStopped(this.#stoppedError());
    this.#wake();
  }

  #stoppedError(): DbproxyError {
    const { id } = this.config;
    return new DbproxyError('DBP_WRITER_STOPPED', {
      writer: labelOf(id),
      reason: this.#stopped?.message ?? '',
    });
  }

  // --- waiting, telling --------------------------------------------------------------------------------------------------

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #wake(): void {
    if (this.#waiting.length === 0) return;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #tell(body: EventBody): void {
    if (this.#listeners.size === 0) return;
    const event = { at: new Date().toISOString(), writer: this.config.id, ...body } as WriterEvent;
    for (const listener of this.#listeners) listener(event);
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
