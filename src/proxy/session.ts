/**
 * One client session: what may happen to it, and when.
 *
 *   relaying ──hold()──▶ draining ──safe point──▶ held ──release()──▶ busy ──▶ relaying     (here or on another engine)
 *                           └─── canceled ───▶ busy ───▶ held
 *
 * draining: client bytes go on request by request until a safe point: everything answered, status I, no message cut in two.
 * held: the server link answers queries of ours (look), or is swapped (moveTo). busy: queries of ours run on it between two
 * other phases. orphaned: its engine is gone, and it waits for another one (failover/). frozen: while another process takes over both
 * sockets, at any moment of `relaying`, no safe point needed; with several writers while `held` (handover/). The bytes themselves are
 * the relay's (relay.ts).
 *
 * Rejected: holding at any ReadyForQuery whatever its status (an open transaction cannot move); reading ahead without bound
 * while held (memory; the kernel's buffers are the queue).
 */
import { setTimeout as delay } from 'node:timers/promises';
import { DbproxyError, type ErrorCode, type ErrorDetails } from '../errors/index.js';
import { encode, type ProtocolViolation, type ScramKeys } from '../protocol/index.js';
import {
  CommitWitness,
  confirmed,
  SessionTracker,
  hasContents,
  isToldByMark,
  look,
  othersCanChange,
  readTempMarks,
  restoreUnnamed,
  stateKinds,
  type ReadContext,
  type ReplyError,
  type SessionState,
  type SettingNames,
  type TempMarks,
  type TrackerImage,
} from '../session-state/index.js';
import { cancelOnEngine, type CancelKey } from './cancel.js';
import {
  CanceledTransaction,
  canceledError,
  enterFailedTransaction,
  renameCancellation,
  type Verdict,
} from './canceled-transaction.js';
import type { SessionMoveNote, SessionRef, SessionSnapshot } from './control-api.js';
import type { EngineConnection } from './engine-connection.js';
import { SkipToSync, owedTo } from './failover/owed.js';
import type { Link } from './link.js';
import { nameBroken } from './broken-statements.js';
import type { RawHandle } from './raw-handle.js';
import type { ErrorRewrite } from './rewrite-errors.js';
import { Relay, type RelayImage, type RelayTap, type Standing } from './relay.js';
import type { WriterService } from '../multiwriter/writer/index.js';

/** Of the loop, after which what a client had sent before is read: one to begin reading, one to read. */
const READ_TURNS = 2;
/** So long after a hold a statement counts as just forwarded, ms. */
const EARLY_MS = 100;
/** Pauses before a CancelRequest is repeated, ms: a backend that the system lets wait so long before it reads its statement is rare. */
const AGAIN_MS = [10, 40, 150, 500];
/** What a canceled statement has sent already is taken from its engine, up to so much, bytes: a socket's buffers, and rows of some MB. */
const AHEAD_BYTES = 4 * 1024 * 1024;

/** Who the client is and how it came; enough to log in again as it did. */
export interface SessionIdentity {
  readonly id: number;
  readonly user: string;
  readonly database: string;
  /** The StartupMessage, as it came. */
  readonly parameters: ReadonlyMap<string, string>;
  readonly keys: ScramKeys | null;
  readonly cancelKey: CancelKey;
  /** Of a client that came through a tunnel (tls/): where it is, and `TLSv1.3`. */
  readonly client?: { readonly address: string; readonly tls: string };
}

/** A session as plain data, for the process that takes over its sockets (structured clone). */
export interface SessionImage {
  readonly identity: SessionIdentity;
  readonly connectedAt: Date;
  readonly tracker: TrackerImage;
  readonly state: SessionState | null;
  readonly moves: number;
  readonly lastMoveMs: number | null;
  /** Undefined: an older build has not kept them. */
  readonly moveNotes: readonly SessionMoveNote[] | undefined;
  readonly limits: string;
  readonly broken: ReadonlyMap<string, ReplyError>;
  /** Operation that canceled the transaction which the client believes to be in; null: none did. */
  readonly canceledBy: string | null;
  /** Undefined: no statement was canceled whose answer is still to come. */
  readonly renaming?: Renaming;
  readonly relay: RelayImage;
}

/** An engine may answer a cancel much later: in a COPY it looks at one only when its client sends, or reads, again. */
interface Renaming {
  /** Operation that has canceled the statement. */
  readonly operation: string;
  /** How many requests are answered, ever, when that one is. */
  readonly until: number;
}

/** How many moves a session remembers. */
const MOVE_NOTES = 20;

type Phase = 'relaying' | 'draining' | 'held' | 'busy' | 'orphaned' | 'frozen' | 'closed';

/** Who keeps sessions whose engine is gone. */
export interface Keeper {
  /** Is there to be another engine, should that one die? */
  covers(engine: string): boolean;
  orphaned(session: Session): void;
}

/** How a session goes on whose engine is gone. */
export interface Revival {
  readonly broken: ReadonlyMap<string, ReplyError>;
  /** For the client: what of its session is not there. Null: everything is. */
  readonly notice: Buffer | null;
  /** `failover-1: engine e1 died` */
  readonly operation: string;
}

export class Session {
  readonly identity: SessionIdentity;
  connectedAt = new Date();
  readonly tracker: SessionTracker;
  /** As of the last look. */
  state: SessionState | null = null;
  moves = 0;
  lastMoveMs: number | null = null;
  /** The last moves, oldest first. */
  moveNotes: readonly SessionMoveNote[] = [];
  readonly #relay: Relay;
  #phase: Phase = 'relaying';
  #holds = 0;
  #waiters: ((held: boolean) => void)[] = [];
  #flowWaiters: (() => void)[] = [];
  /** Since when client bytes flow again, ms, monotonic. */
  #flowsSinceMs = -Infinity;
  /** When the current hold began to keep the client waiting (ms, monotonic). */
  #heldSinceMs = 0;
  /** The looks under way: the server link is not lent before they have ended. */
  #reading: Promise<unknown> = Promise.resolve();
  /** Those of the last look: how much is counted depends on them. */
  #limits = '';
  /** When the last look began, ms, monotonic. */
  #lookedAtMs = 0;
  /** Our queries destroyed the unnamed statement on the current engine. */
  #unnamedLost = false;
  /** Prepared statements that could not be re-created on the current engine, and why. */
  #broken: ReadonlyMap<string, ReplyError> = new Map();
  /** Operation that cancels what keeps the session from its safe point; null: none does. */
  #canceling: string | null = null;
  /** The running statement that the last one of those canceled. */
  #renaming: Renaming | null = null;
  /** CancelRequests on their way to the engine. One that comes too late for its statement would hit the next query of ours. */
  #cancels = 0;
  /** Operation that has canceled a transaction of which the client was not told yet. */
  #canceledBy: string | null = null;
  /** The client believes itself in a transaction: the engine has to be in an aborted one before the session goes on. */
  #failTransaction = false;
  #keeper: Keeper | null = null;
  /** Where the client stood when its engine was lost. */
  #standing: Standing | null = null;
  /** What its client sends up to the next Sync belongs to a batch that has failed. */
  #skipping = false;
  readonly #onClosed: (session: Session) => void;

  constructor(
    identity: SessionIdentity,
    client: Link,
    server: EngineConnection,
    names: SettingNames,
    onClosed: (session: Session) => void,
    writer: WriterService | null = null,
  ) {
    this.identity = identity;
    this.tracker = new SessionTracker(names);
    this.#onClosed = onClosed;
    this.#relay = new Relay(client, server, this.tracker, {
      advanced: () => this.#advance(),
      rewritten: () => this.#rewritten(),
      waits: () => this.onWaits?.(),
      canceling: (canceled) => void this.#whileCanceling(canceled),
      clientGone: () => this.#close(),
      engineGone: () => this.#engineGone(),
      violated: (violation) => this.#violated(violation),
    });
    if (writer) this.certify(writer);
  }

  /** Before it begins; or held: by another writer in the place of the first. */
  certify(writer: WriterService): void {
    this.#relay.certify(writer, this.identity.id, (error) =>
      this.#endWith(error.sqlstate ?? 'XX000', error.message),
    );
  }

  get isCertified(): boolean {
    return this.#relay.hasWriter;
  }

  /** Begins to relay; `early`: client bytes that came with the login. `isHeld`: it begins with a hold, and they wait. */
  start(early: Buffer, isHeld = false): void {
    this.#relay.start();
    if (isHeld) void this.hold();
    this.#relay.receive(early);
  }

  get server(): EngineConnection {
    return this.#relay.server;
  }

  /** Where the streams of both directions stand. */
  get position(): Relay['position'] {
    return this.#relay.position;
  }

  /** From now on `tap` sees what passes; returns what ends that. */
  tap(tap: RelayTap): () => void {
    const { taps } = this.#relay;
    taps.push(tap);
    return () => void taps.splice(taps.indexOf(tap), 1);
  }

  get isClosed(): boolean {
    return this.#phase === 'closed';
  }

  get held(): boolean {
    return this.#phase === 'held';
  }

  /** Client bytes were forwarded since the state was last read. */
  get dirty(): boolean {
    return this.#relay.dirty;
  }

  /** A held session whose client has already sent the next request. */
  get hasWaitingBytes(): boolean {
    return this.#relay.backlog !== null;
  }

  /** Of one that has: since when, ms, monotonic. */
  get waitingSinceMs(): number {
    return this.#relay.backlogSinceMs;
  }

  /** When its last request was answered, ms, monotonic; of one that is not active. */
  get quietSinceMs(): number {
    return this.#relay.sinceMs;
  }

  get #inTransaction(): boolean {
    return this.#relay.exchange.status !== 'I';
  }

  /** A request or a transaction of its client is under way. */
  get isActive(): boolean {
    return this.#phase !== 'closed' && (!this.#relay.exchange.settled || this.#inTransaction);
  }

  /** Called when the client sends something while the session is held. */
  onWaits: (() => void) | null = null;
  /** Another backend serves it from now on. */
  onMoved: (() => void) | null = null;

  /** Called at every safe point while nobody holds the session, before the client's next bytes are forwarded. */
  set onSafePoint(call: () => void) {
    this.#relay.onSafePoint = call;
  }

  get #isBusy(): boolean {
    return this.#phase === 'busy';
  }

  // --- hold and release -------------------------------------------------------------------------------------------

  /** Resolves true once held at a safe point, false if the session ended or was released before. Holds count. */
  hold(): Promise<boolean> {
    if (this.#phase === 'closed' || this.#phase === 'orphaned') return Promise.resolve(false);
    if (this.#holds++ === 0) this.#heldSinceMs = performance.now();
    if (this.#phase === 'held') return Promise.resolve(true);
    const reached = new Promise<boolean>((resolve) => this.#waiters.push(resolve));
    if (this.#phase === 'relaying') {
      this.#phase = 'draining';
      this.#relay.flow('step');
      this.#advance();
    }
    return reached;
  }

  /** While held: lets the next request of its client go on, and holds again at the safe point after it; false if it ends before. */
  async step(): Promise<boolean> {
    if (this.#phase !== 'held' || this.#canceling !== null) return this.held;
    const reached = new Promise<boolean>((resolve) => this.#waiters.push(resolve));
    this.#relay.passOne = true;
    void this.#leaveHold();
    const held = await reached;
    this.#heldSinceMs = performance.now();
    return held;
  }

  /** Takes one hold back; with the last one the session goes on where its server link is now. */
  async release(): Promise<void> {
    if (this.#phase === 'closed' || this.#holds === 0 || --this.#holds > 0) return;
    this.#settleWaiters(false);
    if (this.#phase === 'held') await this.#leaveHold();
    else if (this.#phase === 'draining') this.#goOn();
    // busy: what is under way sees that nobody holds the session any more.
  }

  /** The engine does not know yet what its client asks. While frozen it may: what runs there goes on. */
  get #keepsBack(): boolean {
    if (this.#phase === 'draining') return this.hasWaitingBytes && this.#relay.atSafePoint;
    return this.#phase === 'held' || this.#phase === 'busy' || this.#phase === 'orphaned';
  }

  /**
   * Everything of the client's was answered, or will be without an engine: what comes next is not what its CancelRequest means.
   * PostgreSQL lets such a one come to nothing, too. What the client sent before it may still be unread.
   */
  async hasNothingToCancel(): Promise<boolean> {
    if (!this.#keepsBack || this.hasWaitingBytes) return false;
    this.#relay.client.resume();
    for (let turn = 0; turn < READ_TURNS; turn++) await new Promise(setImmediate);
    return this.#keepsBack && !this.hasWaitingBytes;
  }

  /**
   * Passes on the client's CancelRequest when client bytes flow. Where the statement was forwarded just before it, the engine may
   * not have begun it, and ignores what comes meanwhile (postgres.c, ProcessInterrupts): it is told again, as long as that
   * statement is not answered.
   */
  async cancel(): Promise<void> {
    const wasKeptBack = this.#keepsBack || performance.now() - this.#flowsSinceMs < EARLY_MS;
    while (this.#keepsBack) await new Promise<void>((resolve) => this.#flowWaiters.push(resolve));
    const { exchange } = this.#relay;
    const { sent } = exchange;
    const isUnanswered = (): boolean => exchange === this.#relay.exchange && exchange.answered < sent;
    await this.#cancelOnEngine();
    for (const pauseMs of wasKeptBack ? AGAIN_MS : []) {
      await delay(pauseMs, undefined, { ref: false });
      if (!isUnanswered()) return;
      await this.#cancelOnEngine();
    }
  }

  async #cancelOnEngine(): Promise<void> {
    if (this.#phase === 'closed' || this.#relay.isCertified || this.#relay.cancelWait()) return;
    await this.#whileCanceling(cancelOnEngine(this.server));
  }

  /** Whoever waits for a hold waits for this, too. */
  async #whileCanceling(canceled: Promise<void>): Promise<void> {
    this.#cancels++;
    this.#relay.whileCanceling(canceled);
    await canceled;
    this.#cancels--;
    this.#advance();
  }

  /** The hold time so far, ms. */
  heldForMs(): number {
    return performance.now() - this.#heldSinceMs;
  }

  /** While draining: at the safe point, or on with the next request. */
  #advance(): void {
    if (this.#phase !== 'draining') return;
    const { exchange, atSafePoint, atBoundary } = this.#relay;
    const canceled = exchange.settled && atBoundary ? this.#canceling : null;
    if (!atSafePoint && canceled === null) this.#relay.pump();
    else if (this.#cancels > 0) return;
    else if (canceled !== null && !atSafePoint) void this.#abortTransaction(canceled);
    else this.#becomeHeld();
  }

  #becomeHeld(): void {
    this.#phase = 'held';
    this.#relay.stop();
    if (this.#relay.clientLeft) this.#close();
    else this.#settleWaiters(true);
  }

  /** Gives the engine back what our own queries took, then relays again, unless someone asked for a hold meanwhile. */
  async #leaveHold(): Promise<void> {
    this.#phase = 'busy';
    await this.#reading;
    await this.#restoreUnnamed();
    if (this.#failTransaction && this.#holds === 0 && this.#isBusy) await this.#enterFailedTransaction();
    this.#afterBusy();
  }

  #afterBusy(): void {
    if (!this.#isBusy) return;
    if (this.#holds === 0 || this.#inTransaction || this.#relay.passOne) this.#goOn();
    else this.#becomeHeld();
  }

  #goOn(): void {
    if (this.server.isLost) {
      this.#engineGone();
      return;
    }
    if (this.server.isBusy) {
      // Never: what it has still to say to us would answer the client's next request.
      this.fail('DBP_INTERNAL', { reason: 'the engine connection answers queries of the proxy' });
      return;
    }
    if (this.#holds === 0) this.#canceling = null;
    this.#phase = this.#holds === 0 ? 'relaying' : 'draining';
    this.#rewritten();
    this.#relay.flow(this.#holds === 0 ? 'free' : 'step');
    this.#relay.pump();
    this.#flowsSinceMs = performance.now();
    this.#settleFlowWaiters();
  }

  #settleFlowWaiters(): void {
    for (const resolve of this.#flowWaiters.splice(0)) resolve();
  }

  #settleWaiters(held: boolean): void {
    for (const resolve of this.#waiters.splice(0)) resolve(held);
  }

  // --- while held -------------------------------------------------------------------------------------------------------

  /**
   * Reads the state from the engine. Only while held. What an earlier look has found is enough when nothing can have changed it
   * since; `quietSinceMs`: from when on nobody else could (monotonic). Null: it has to be read in any case.
   */
  async look(
    context: Omit<ReadContext, 'tracker'>,
    quietSinceMs: number | null = null,
  ): Promise<SessionState> {
    if (this.#phase !== 'held') throw new Error('the session is not held');
    const contents =
      context.contents && this.state !== null && (context.holdsLocks || hasContents(this.state));
    const limits = JSON.stringify(context.limits);
    const asked = context.thorough || contents || this.#limits !== limits;
    if (!asked && this.state && !this.#mayHaveChanged(this.state, quietSinceMs)) return this.state;
    this.#lookedAtMs = performance.now();
    this.#limits = limits;
    this.state = await this.#read(look(this.server, { ...context, tracker: this.tracker }, this.state));
    this.#relay.dirty = false;
    return this.state;
  }

  /** Nothing of its state can have changed but by others, and by them only what a mark tells. */
  get canBeConfirmed(): boolean {
    const { state } = this;
    return this.held && !this.dirty && state !== null && isToldByMark(state, this.server.backendPid);
  }

  /** Only while held: what has become of the temporary objects of those sessions, of the same database. */
  async marksOf(sessions: readonly Session[]): Promise<TempMarks> {
    const schemas = sessions.flatMap(({ state }) => state?.tempObjects.schema ?? []);
    return this.#read(readTempMarks(this.server, schemas));
  }

  /** Queries of ours on its engine have begun. */
  #read<Found>(reading: Promise<Found>): Promise<Found> {
    this.#unnamedLost = this.tracker.unnamedStatement !== null;
    this.#reading = Promise.allSettled([this.#reading, reading]);
    return reading;
  }

  confirm(marks: TempMarks): void {
    if (!this.canBeConfirmed || !this.state) return;
    const state = confirmed(this.state, marks);
    if (!state) return;
    this.state = state;
    this.#lookedAtMs = performance.now();
  }

  #mayHaveChanged(state: SessionState, quietSinceMs: number | null): boolean {
    if (this.dirty) return true;
    return othersCanChange(state) && (quietSinceMs === null || this.#lookedAtMs < quietSinceMs);
  }

  /** Swaps the server link. Only while held; `target` has the session's state. Returns the old connection. */
  moveTo(target: EngineConnection, broken: ReadonlyMap<string, ReplyError>): EngineConnection {
    // What was broken before is so still, unless the client has prepared it anew.
    const before = [...this.#broken].filter(([name]) => !this.state?.preparedStatements.byName.has(name));
    this.#broken = new Map([...before, ...broken]);
    this.#unnamedLost = false;
    this.#renaming = null;
    this.moves++;
    const ends = { from: this.server.engine.id, to: target.engine.id };
    const note = { at: new Date().toISOString(), ...ends, heldMs: tenths(this.heldForMs()) };
    this.moveNotes = [...this.moveNotes, note].slice(-MOVE_NOTES);
    const left = this.#relay.adopt(target);
    this.onMoved?.();
    return left;
  }

  async #restoreUnnamed(): Promise<void> {
    if (!this.#unnamedLost || !this.state || this.server.isLost) return;
    this.#unnamedLost = false;
    // An engine that is lost meanwhile is noticed by #goOn.
    await restoreUnnamed(this.server, this.state.unnamedStatement).catch(() => undefined);
  }

  // --- a transaction that is canceled ---------------------------------------------------------------------------------

  /**
   * `--on-timeout cancel`: aborts what keeps the session from its safe point. Between two requests the transaction is rolled
   * back under the client, who is told at its next request; a running statement is cancelled and fails with 40001. False: there
   * was nothing to cancel.
   */
  cancelTransaction(operation: string): boolean {
    if (this.#phase !== 'draining') return false;
    this.#canceling = operation;
    const relay = this.#relay;
    relay.passOne = false;
    const { settled, sent, batchOpen } = relay.exchange;
    this.#renaming = { operation, until: batchOpen ? sent + 1 : sent };
    relay.rewrite = this.#rewrite();
    const wanted = this.isActive && !relay.isCertified;
    if (settled) {
      this.#advance();
      return wanted;
    }
    relay.failCopy(`canceled by ${operation}`);
    relay.readAhead(AHEAD_BYTES);
    void this.#cancelOnEngine();
    return wanted;
  }

  /** Where nobody holds the session any more, cancellations are renamed as long as the engine has one to answer. */
  #rewritten(): void {
    if (this.#holds > 0) return;
    if (this.#renaming && this.#relay.exchange.answered >= this.#renaming.until) this.#renaming = null;
    this.#relay.rewrite = this.#rewrite();
  }

  #rewrite(): ErrorRewrite | null {
    const broken = nameBroken(this.#broken);
    if (!this.#renaming) return broken;
    const canceled = renameCancellation(this.#renaming.operation);
    return (fields) => canceled(fields) ?? broken?.(fields) ?? null;
  }

  /**
   * While draining: its client has gone in the middle of a statement, for whose answer nobody waits any more. It is cancelled, as
   * PostgreSQL does itself once it looks (client_connection_check_interval), and the session ends.
   */
  endIfVanished(): void {
    if (this.#phase !== 'draining' || !this.#relay.clientEnded || this.#relay.isCertified) return;
    void this.#cancelOnEngine();
    this.#close();
  }

  async #abortTransaction(operation: string): Promise<void> {
    // In an aborted transaction the client has seen an error already.
    if (this.#relay.exchange.status === 'T') this.#tellOfCancellation(operation);
    this.#failTransaction = true;
    await this.#rollBack();
    if (this.#isBusy && this.#holds === 0) await this.#leaveHold();
    else this.#afterBusy();
  }

  #tellOfCancellation(operation: string): void {
    this.#canceledBy = operation;
    const canceled = new CanceledTransaction(canceledError(operation));
    this.#relay.intercept = (bytes) => this.#answerCanceled(canceled, bytes);
  }

  async #rollBack(): Promise<void> {
    this.#phase = 'busy';
    this.#relay.stop();
    await this.server.exchange(encode.query('rollback'), 1).catch(() => undefined);
    this.#relay.exchange.status = 'I';
  }

  async #enterFailedTransaction(): Promise<void> {
    await enterFailedTransaction(this.server).catch(() => undefined);
    this.#failTransaction = false;
    this.#relay.exchange.status = 'E';
  }

  /** True when the bytes are for the engine after all; false when they were answered here, or are not all there. */
  #answerCanceled(canceled: CanceledTransaction, bytes: Buffer): boolean {
    const relay = this.#relay;
    let verdict: Verdict;
    try {
      verdict = canceled.judge(bytes, this.state?.preparedStatements ?? null);
    } catch (error) {
      this.#violated(error as ProtocolViolation);
      return false;
    }
    if (verdict.kind === 'wait') {
      relay.client.resume();
      return false;
    }
    relay.intercept = null;
    this.#canceledBy = null;
    if (verdict.kind === 'forward') return true;
    const { response, rest, ends } = verdict;
    relay.backlog = rest.length > 0 ? rest : null;
    void (ends ? this.#rollBack() : Promise.resolve()).then(() => {
      relay.tell(response);
      if (ends) this.#afterBusy();
      else relay.pump();
    });
    return false;
  }

  // --- the engine is gone, and there is another one ---------------------------------------------------------------------

  /** From now on the session outlives engines that `keeper` covers. */
  set keeper(keeper: Keeper) {
    this.#keeper = keeper;
    this.#relay.outlivesEngine = true;
    const { sent, settled } = this.#relay.exchange;
    this.tracker.commits ??= new CommitWitness(settled ? sent - 1 : sent);
  }

  get isOrphaned(): boolean {
    return this.#phase === 'orphaned';
  }

  /** Of the last look, ms, monotonic; 0: there was none. */
  get lookedAtMs(): number {
    return this.#lookedAtMs;
  }

  /** In the middle of a message, or of a COPY, nobody can take over. */
  #canOutlive(): boolean {
    const isHere = this.#phase === 'relaying' || this.#phase === 'draining' || this.#phase === 'busy';
    const { cutOff, copyIn } = this.#relay.standing;
    return isHere && !cutOff && !copyIn && this.#keeper?.covers(this.server.engine.id) === true;
  }

  #becomeOrphan(): void {
    this.#standing = this.#relay.standing;
    this.#phase = 'orphaned';
    this.#heldSinceMs = performance.now();
    this.#relay.orphan();
    this.#settleWaiters(false);
    if (this.#relay.clientLeft) this.#close();
    else this.#keeper?.orphaned(this);
  }

  /** Only when orphaned: goes on on `target`, which has as much of its state as is known. */
  async revive(target: EngineConnection, { broken, notice, operation }: Revival): Promise<void> {
    if (this.#phase !== 'orphaned' || !this.#standing) throw new Error('the client has left');
    const owed = owedTo(this.#standing, operation);
    this.#standing = null;
    this.#canceling = null;
    this.#failTransaction = false;
    this.moveTo(target, broken);
    // What was looked at on the old engine is no measure of this one.
    this.state = null;
    this.#relay.dirty = true;
    this.#phase = 'busy';
    if (notice) this.#relay.tell(notice);
    this.#relay.tell(owed.answers);
    if (owed.failed) await this.#enterFailedTransaction();
    if (owed.toTell) this.#tellOfCancellation(operation);
    if (owed.skipsToSync) this.#skipToSync(owed.failed);
    this.#afterBusy();
  }

  #skipToSync(failed: boolean): void {
    this.#skipping = true;
    const skipping = new SkipToSync();
    const relay = this.#relay;
    relay.intercept = (bytes) => {
      try {
        const rest = skipping.push(bytes);
        relay.backlog = rest !== null && rest.length > 0 ? rest : null;
        if (rest === null) relay.client.resume();
        else {
          relay.intercept = null;
          this.#skipping = false;
          relay.tell(encode.readyForQuery(failed ? 'E' : 'I'));
          relay.pump();
        }
      } catch (error) {
        this.#violated(error as ProtocolViolation);
      }
      return false;
    };
  }

  // --- handed to another process --------------------------------------------------------------------------------------

  /**
   * Stops all bytes, wherever they are; false when the session is held, or ended: try again, or it is no more. `isStill`: it is held
   * for that, and by nobody else.
   */
  async freeze(isStill = false): Promise<boolean> {
    if (isStill ? !(await this.#isStill()) : this.#phase !== 'relaying' || this.#holds > 0) return false;
    if (this.#cancels > 0 || this.#skipping) return false;
    this.#phase = 'frozen';
    await this.#relay.freeze();
    return !this.isClosed;
  }

  /** Held, with its engine as its client has left it. */
  async #isStill(): Promise<boolean> {
    if (this.#phase !== 'held') return false;
    await this.#reading;
    await this.#restoreUnnamed();
    if (this.#failTransaction) await this.#enterFailedTransaction();
    return this.held && this.#holds === 1;
  }

  /** Frozen: the whole session, its sockets apart. Null: what the kernel has not taken cannot be told. */
  save(): SessionImage | null {
    const relay = this.#relay.save();
    if (!relay) return null;
    const { identity, connectedAt, state, moves, lastMoveMs, moveNotes } = this;
    return {
      ...{ identity, connectedAt, state, moves, lastMoveMs, moveNotes, relay },
      tracker: this.tracker.save(),
      limits: this.#limits,
      broken: this.#broken,
      canceledBy: this.#canceledBy,
      ...(this.#renaming ? { renaming: this.#renaming } : {}),
    };
  }

  /** In place of `start`: becomes the session of the image, frozen. */
  restore(image: SessionImage): void {
    this.#phase = 'frozen';
    this.connectedAt = image.connectedAt;
    this.tracker.restore(image.tracker);
    this.state = image.state;
    this.moves = image.moves;
    this.lastMoveMs = image.lastMoveMs;
    this.moveNotes = image.moveNotes ?? [];
    this.#limits = image.limits;
    this.#broken = image.broken;
    this.#renaming = image.renaming ?? null;
    if (image.canceledBy !== null) this.#tellOfCancellation(image.canceledBy);
    this.#relay.restore(image.relay);
    this.#relay.rewrite = this.#rewrite();
  }

  /** Frozen: goes on, here. */
  thaw(): void {
    if (this.#phase !== 'frozen') return;
    this.#relay.thaw();
    this.#phase = this.#relay.isStopped ? 'held' : 'relaying';
    if (this.#holds === 0 || this.held) return;
    this.#phase = 'draining';
    this.#relay.flow('step');
    this.#advance();
  }

  wasGivenAway = false;

  /** Frozen: it goes on in another process, and is no session of this one any more. */
  giveAway(): void {
    if (this.#phase === 'closed') return;
    this.wasGivenAway = true;
    this.#phase = 'closed';
    this.#settleWaiters(false);
    this.#settleFlowWaiters();
    this.#relay.giveAway();
    this.#onClosed(this);
  }

  /** Both sockets, for the other process; null when one is gone. */
  get sockets(): { readonly client: RawHandle; readonly server: RawHandle } | null {
    const client = this.#relay.client.inheritable;
    const server = this.server.link.inheritable;
    return client && server && { client, server };
  }

  // --- the end --------------------------------------------------------------------------------------------------------

  /** Ends the session with an error of the catalogue, as FATAL. */
  fail(code: ErrorCode, details: ErrorDetails = {}): void {
    const { sqlstate, message } = new DbproxyError(code, details);
    this.#endWith(sqlstate ?? 'XX000', message);
  }

  #violated({ sqlstate, message }: ProtocolViolation): void {
    this.#endWith(sqlstate ?? 'XX000', message);
  }

  #endWith(sqlstate: string, message: string): void {
    if (this.#phase === 'closed') return;
    this.#relay.tell(encode.errorResponse({ severity: 'FATAL', sqlstate, message }));
    this.#close();
  }

  #engineGone(): void {
    // While held the session may still move: its state has been read.
    if (this.#phase === 'closed' || this.#phase === 'held') return;
    if (this.#phase === 'orphaned') return;
    if (this.#relay.endIsExpected) this.#close();
    else if (this.#canOutlive()) this.#becomeOrphan();
    else this.fail('DBP_WIRE_ENGINE_LOST');
  }

  #close(): void {
    if (this.#phase === 'closed') return;
    this.#phase = 'closed';
    this.#settleWaiters(false);
    this.#settleFlowWaiters();
    this.#relay.close();
    this.#onClosed(this);
  }

  // --- for people -----------------------------------------------------------------------------------------------------

  get ref(): SessionRef {
    const { id, user, database } = this.identity;
    return { id, user, database, application: this.tracker.parameters.get('application_name') ?? '' };
  }

  /** Completes "session 7 …". */
  whyNotSafe(): string {
    const { exchange, sinceMs } = this.#relay;
    if (this.#cancels > 0) return 'has a cancel request on its way that its engine has not taken yet';
    const seconds = ((performance.now() - sinceMs) / 1_000).toFixed(1);
    const canceled = this.#renaming ? ', canceled, which its engine has not noticed yet' : '';
    if (exchange.copyIn) return `has been in COPY for ${seconds} s${canceled}`;
    if (exchange.pending > 1)
      return `has ${exchange.pending} requests in its pipeline, and has waited for an answer for ${seconds} s${canceled}`;
    if (exchange.pending === 0 && exchange.batchOpen)
      return `has sent no Sync for ${seconds} s after what it asks, which ends nowhere before that${canceled}`;
    if (this.#relay.isCertified)
      return `has waited at its COMMIT for ${seconds} s for the log of the writers (see dbproxy status)`;
    if (!exchange.settled) return `has been running a statement for ${seconds} s${canceled}`;
    if (this.#relay.passOne) return `has asked nothing for ${seconds} s`;
    if (this.#inTransaction) return `has been idle in a transaction for ${seconds} s`;
    return `has sent half a message ${seconds} s ago`;
  }

  snapshot(): SessionSnapshot {
    const { exchange, sinceMs, client } = this.#relay;
    return {
      ...this.ref,
      engine: this.server.engine.id,
      state: this.#describe(),
      txStatus: exchange.status,
      backendPid: this.server.backendPid,
      unasked: !this.dirty,
      stateKinds: this.state ? stateKinds(this.state) : [],
      moves: this.moves,
      lastMoveMs: this.lastMoveMs,
      heldMs: this.#holds > 0 && this.#phase !== 'draining' ? tenths(this.heldForMs()) : null,
      connectedAt: this.connectedAt.toISOString(),
      sinceMs: Math.max(0, Math.round(performance.now() - sinceMs)),
      client: this.identity.client?.address ?? client.remote,
      tls: this.identity.client?.tls ?? null,
    };
  }

  #describe(): SessionSnapshot['state'] {
    if (this.#phase === 'closed') return 'closing';
    if (this.#phase === 'held' || this.#phase === 'busy' || this.#phase === 'orphaned') return 'held';
    if (this.#phase === 'frozen') return 'moving';
    if (!this.#relay.exchange.settled) return 'active';
    return this.#inTransaction ? 'in tx' : 'idle';
  }
}

const tenths = (ms: number): number => Math.round(ms * 10) / 10;
