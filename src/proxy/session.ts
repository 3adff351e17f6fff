/**
 * One client session: two links and what lies between them.
 *
 *          client link                                      server link
 *   client ───────────▶ received ─ scan ─ forward ─────────▶ engine          relaying: bytes pass as they come
 *          ◀─────────── forward ─ scan ─ received ◀─────────
 *
 *   relaying ──hold()──▶ draining ──safe point──▶ held ──release()──▶ relaying      (on the same or another engine)
 *
 * draining: client bytes go on request by request until the session reaches a safe point: everything answered, status I,
 * no message cut in two. held: client bytes wait in `backlog` (at most one read) and in the kernel; the server link answers
 * exchanges of ours. Invariant 1 (architecture.md): a client byte goes to exactly one engine, in order: only `#forward` and
 * `#pump` send, and the server link changes only while held.
 *
 * Rejected: holding at any ReadyForQuery regardless of status (an open transaction cannot move); reading ahead without bound
 * while held (memory; the kernel's buffers are the queue).
 */
import { DbproxyError, type ErrorCode, type ErrorDetails } from '../errors/index.js';
import type { ProtocolViolation } from '../protocol/index.js';
import { ClientStream, EngineStream, Exchange, encode, type ScramKeys } from '../protocol/index.js';
import {
  SessionTracker,
  look,
  restoreUnnamed,
  stateKinds,
  type ReadContext,
  type SessionState,
  type SettingNames,
} from '../session-state/index.js';
import { coarseNow } from './coarse-clock.js';
import { cancelOnEngine, type CancelKey } from './cancel.js';
import {
  CanceledTransaction,
  enterFailedTransaction,
  renameCancellation,
  type Verdict,
} from './canceled-transaction.js';
import type { SessionRef, SessionSnapshot } from './control-api.js';
import type { EngineConnection } from './engine-connection.js';
import type { Link, LinkOwner } from './link.js';

/** Who the client is and how it came; enough to log in again as it did. */
export interface SessionIdentity {
  readonly id: number;
  readonly user: string;
  readonly database: string;
  /** The StartupMessage, as it came. */
  readonly parameters: ReadonlyMap<string, string>;
  readonly keys: ScramKeys | null;
  readonly cancelKey: CancelKey;
}

/** busy: queries of ours run on the server link, between held and relaying. */
type Phase = 'relaying' | 'draining' | 'held' | 'busy' | 'closed';

/** ParameterStatus values that tell a fenced or waiting engine from a primary; a client sees neither. */
const NOT_FOR_CLIENTS: ReadonlySet<string> = new Set(['in_hot_standby', 'default_transaction_read_only']);

export class Session implements LinkOwner {
  readonly identity: SessionIdentity;
  readonly connectedAt = new Date();
  readonly tracker: SessionTracker;
  /** Client bytes were forwarded since the state was last read. */
  dirty = true;
  /** As of the last look. */
  state: SessionState | null = null;
  moves = 0;
  lastMoveMs: number | null = null;
  /** When the current hold began to keep the client waiting (ms, monotonic). */
  heldSinceMs = 0;
  readonly #client: Link;
  #server: EngineConnection;
  #exchange = new Exchange();
  #clientStream: ClientStream;
  #engineStream: EngineStream;
  #phase: Phase = 'relaying';
  #holds = 0;
  #waiters: ((held: boolean) => void)[] = [];
  /** Client bytes not forwarded yet. */
  #backlog: Buffer | null = null;
  #clientEnded = false;
  /** Our queries destroyed the unnamed statement on the current engine. */
  #unnamedLost = false;
  /** Operation that cancels what runs; null: none does. */
  #canceling: string | null = null;
  /** The client's transaction was aborted and it has not been told. */
  #canceled: CanceledTransaction | null = null;
  /** The client believes itself in a transaction: the engine has to be in an aborted one before the session goes on. */
  #failTransaction = false;
  /** The look under way: the server link is not lent before it has ended. */
  #reading: Promise<unknown> = Promise.resolve();
  #sinceMs = coarseNow();
  readonly #onClosed: (session: Session) => void;

  constructor(
    identity: SessionIdentity,
    client: Link,
    server: EngineConnection,
    names: SettingNames,
    onClosed: (session: Session) => void,
  ) {
    this.identity = identity;
    this.tracker = new SessionTracker(names);
    this.#client = client;
    this.#server = server;
    this.#onClosed = onClosed;
    this.#clientStream = new ClientStream(this.#exchange, this.tracker);
    this.#engineStream = new EngineStream(this.#exchange, this.tracker);
    for (const [name, value] of server.parameters) this.tracker.parameters.set(name, value);
  }

  /** Begins to relay; `early`: client bytes that came with the login. */
  start(early: Buffer): void {
    this.#client.owner = this;
    this.#adopt(this.#server);
    this.#server.lend(this).resume();
    if (early.length > 0) this.received(this.#client, early, early.length);
    else this.#client.resume();
  }

  get server(): EngineConnection {
    return this.#server;
  }

  get isClosed(): boolean {
    return this.#phase === 'closed';
  }

  get held(): boolean {
    return this.#phase === 'held';
  }

  /** A held session whose client has already sent the next request. */
  get hasWaitingBytes(): boolean {
    return this.#backlog !== null;
  }

  get inTransaction(): boolean {
    return this.#exchange.status !== 'I';
  }

  get atSafePoint(): boolean {
    return (
      this.#exchange.settled &&
      this.#exchange.status === 'I' &&
      this.#clientStream.atBoundary &&
      this.#engineStream.atBoundary
    );
  }

  /** Completes "session 7 …". */
  whyNotSafe(): string {
    const seconds = ((performance.now() - this.#sinceMs) / 1_000).toFixed(1);
    if (this.#exchange.copyIn) return `has been in COPY for ${seconds} s`;
    if (!this.#exchange.settled) return `has been running a statement for ${seconds} s`;
    if (this.inTransaction) return `has been idle in a transaction for ${seconds} s`;
    return `has sent half a message ${seconds} s ago`;
  }

  get ref(): SessionRef {
    const { id, user, database } = this.identity;
    return { id, user, database, application: this.tracker.parameters.get('application_name') ?? '' };
  }

  // --- hold and release -------------------------------------------------------------------------------------------

  /** Resolves true once held at a safe point, false if the session ended or was released before. Holds count. */
  hold(): Promise<boolean> {
    if (this.#phase === 'closed') return Promise.resolve(false);
    if (this.#holds++ === 0) this.heldSinceMs = performance.now();
    if (this.#phase === 'held') return Promise.resolve(true);
    const reached = new Promise<boolean>((resolve) => this.#waiters.push(resolve));
    if (this.#phase === 'relaying') {
      this.#phase = 'draining';
      this.#advance();
    }
    return reached;
  }

  /** Takes one hold back; with the last one the session goes on where its server link is now. */
  async release(): Promise<void> {
    if (this.#phase === 'closed' || this.#holds === 0 || --this.#holds > 0) return;
    this.#settleWaiters(false);
    if (this.#phase === 'held') await this.#leaveHold();
    else if (this.#phase === 'draining') this.#goOn();
    // busy: what is under way sees that nobody holds the session any more.
  }

  /** Gives the engine back what our own queries took, then relays again, unless someone asked for a hold meanwhile. */
  async #leaveHold(): Promise<void> {
    this.#phase = 'busy';
    await this.#reading.catch(() => undefined);
    await this.#restoreUnnamed();
    if (this.#failTransaction && this.#holds === 0 && this.#isBusy) await this.#enterFailedTransaction();
    this.#afterBusy();
  }

  #afterBusy(): void {
    if (!this.#isBusy) return;
    if (this.#holds === 0 || this.inTransaction) this.#goOn();
    else this.#becomeHeld();
  }

  get #isBusy(): boolean {
    return this.#phase === 'busy';
  }

  /** Reads the state from the engine. Only while held. */
  async look(context: Omit<ReadContext, 'tracker'>): Promise<SessionState> {
    if (this.#phase !== 'held') throw new Error('the session is not held');
    if (!this.dirty && this.state && !context.thorough) return this.state;
    this.#unnamedLost = this.tracker.unnamedStatement !== null;
    const reading = look(this.#server, { ...context, tracker: this.tracker }, this.state);
    this.#reading = reading;
    this.state = await reading;
    this.dirty = false;
    return this.state;
  }

  /** Swaps the server link. Only while held; `target` has the session's state. Returns the old connection. */
  moveTo(target: EngineConnection): EngineConnection {
    const old = this.#server;
    old.events = null;
    this.#adopt(target);
    this.#unnamedLost = false;
    this.moves++;
    return old;
  }

  /**
   * `--on-timeout cancel`: aborts what keeps the session from its safe point. Between two requests the transaction is rolled
   * back under the client, who is told at its next request; a running statement is cancelled and fails with 40001.
   */
  cancelTransaction(operation: string): void {
    if (this.#phase !== 'draining') return;
    this.#canceling = operation;
    if (this.#exchange.settled) this.#advance();
    else void cancelOnEngine(this.#server);
  }

  /** The hold time so far, ms. */
  heldForMs(now = performance.now()): number {
    return now - this.heldSinceMs;
  }

  // --- LinkOwner ------------------------------------------------------------------------------------------------------

  received(link: Link, buffer: Buffer, bytes: number): void {
    if (link === this.#client) this.#fromClient(buffer, bytes);
    else this.#fromEngine(link, buffer, bytes);
  }

  drained(link: Link): void {
    if (link === this.#client) {
      if (this.#phase !== 'held' && this.#phase !== 'busy') this.#server.link.resume();
    } else if (this.#backlog) this.#pump();
    else this.#client.resume();
  }

  ended(link: Link): void {
    if (link === this.#client) {
      this.#clientEnded = true;
      if (this.#backlog || this.#phase === 'busy') return;
      if (this.#phase === 'held') this.#close();
      else this.#server.link.end();
    } else this.#engineGone();
  }

  closed(link: Link): void {
    if (link === this.#client) this.#close();
    else if (link === this.#server.link) {
      this.#server.markLost();
      this.#engineGone();
    }
  }

  // --- relaying -------------------------------------------------------------------------------------------------------

  #fromClient(buffer: Buffer, bytes: number): void {
    if (this.#phase === 'relaying' && this.#backlog === null && this.#canceled === null) {
      if (this.#scan(buffer, 0, bytes, false) < 0) return;
      this.dirty = true;
      const { link } = this.#server;
      link.forward(buffer, 0, bytes, this.#client);
      if (link.blocked) this.#client.pause();
      return;
    }
    const copy = Buffer.from(buffer.subarray(0, bytes));
    this.#backlog = this.#backlog ? Buffer.concat([this.#backlog, copy]) : copy;
    this.#client.pause();
    this.#pump();
  }

  /** Forwards the backlog; while draining only one request after the other. */
  #pump(): void {
    while (this.#backlog && (this.#phase === 'relaying' || this.#phase === 'draining')) {
      if (this.#canceled && !this.#answerCanceled(this.#canceled, this.#backlog)) return;
      if (this.#phase === 'draining') {
        if (this.atSafePoint) break;
        if (this.#exchange.pending > 0 && !this.#exchange.copyIn) return;
      }
      const end = this.#scan(this.#backlog, 0, this.#backlog.length, this.#phase === 'draining');
      if (end < 0) return;
      this.dirty = true;
      this.#server.link.send(this.#backlog.subarray(0, end));
      this.#backlog = end < this.#backlog.length ? this.#backlog.subarray(end) : null;
      if (this.#server.link.blocked) return;
    }
    if (this.#phase === 'draining' && this.atSafePoint) this.#becomeHeld();
    else if (!this.#backlog && !this.#server.link.blocked) {
      this.#client.resume();
      if (this.#clientEnded && this.#phase === 'relaying') this.#server.link.end();
    }
  }

  #fromEngine(link: Link, buffer: Buffer, bytes: number): void {
    let answered: boolean;
    const whole = this.#engineStream.atBoundary;
    try {
      answered = this.#engineStream.scan(buffer, 0, bytes);
    } catch (error) {
      this.fail('DBP_WIRE_ENGINE_LOST', {}, error);
      return;
    }
    if (this.#canceling !== null && whole) {
      this.#client.send(renameCancellation(buffer.subarray(0, bytes), this.#canceling));
    } else this.#client.forward(buffer, 0, bytes, link);
    if (this.#client.blocked) link.pause();
    if (!answered) return;
    this.#sinceMs = coarseNow();
    if (this.#phase === 'draining') this.#advance();
  }

  /** While draining: at the safe point, or on with the next request. */
  #advance(): void {
    if (this.atSafePoint) this.#becomeHeld();
    else if (this.#canceling !== null && this.#exchange.settled && this.#clientStream.atBoundary) {
      void this.#abortTransaction(this.#canceling);
    } else this.#pump();
  }

  // --- a transaction that is canceled ---------------------------------------------------------------------------------

  async #abortTransaction(operation: string): Promise<void> {
    // In an aborted transaction the client has seen an error already.
    const unaware = this.#exchange.status === 'T';
    if (unaware) this.#canceled = new CanceledTransaction(operation);
    this.#failTransaction = true;
    await this.#rollBack();
    if (this.#isBusy && this.#holds === 0) await this.#leaveHold();
    else this.#afterBusy();
  }

  async #rollBack(): Promise<void> {
    this.#phase = 'busy';
    this.#takeServer();
    await this.#server.exchange(encode.query('rollback'), 1).catch(() => undefined);
    this.#exchange.status = 'I';
  }

  async #enterFailedTransaction(): Promise<void> {
    await enterFailedTransaction(this.#server).catch(() => undefined);
    this.#failTransaction = false;
    this.#exchange.status = 'E';
  }

  /** True when the bytes are for the engine after all; false when they were answered here, or are not all there. */
  #answerCanceled(canceled: CanceledTransaction, bytes: Buffer): boolean {
    let verdict: Verdict;
    try {
      verdict = canceled.judge(bytes, this.state?.preparedStatements ?? null);
    } catch (error) {
      this.#violated(error as ProtocolViolation);
      return false;
    }
    if (verdict.kind === 'wait') {
      this.#client.resume();
      return false;
    }
    this.#canceled = null;
    if (verdict.kind === 'forward') return true;
    const { response, rest, ends } = verdict;
    this.#backlog = rest.length > 0 ? rest : null;
    if (!ends) {
      this.#client.send(response);
      this.#pump();
      return false;
    }
    void this.#rollBack().then(() => {
      this.#client.send(response);
      this.#afterBusy();
    });
    return false;
  }

  #becomeHeld(): void {
    this.#phase = 'held';
    this.#takeServer();
    if (this.#clientEnded && !this.#backlog) this.#close();
    else this.#settleWaiters(true);
  }

  /** The server link answers our own exchanges now; what the engine says unasked still reaches the client. */
  #takeServer(): void {
    this.#server.takeBack();
    this.#server.events = {
      notification: (message) => this.#client.send(message),
      lost: () => undefined,
    };
  }

  #goOn(): void {
    if (this.#server.isLost) {
      this.#engineGone();
      return;
    }
    const wasHeld = this.#phase === 'busy';
    this.#phase = this.#holds > 0 ? 'draining' : 'relaying';
    if (this.#phase === 'relaying') this.#canceling = null;
    this.#sinceMs = coarseNow();
    if (wasHeld) {
      this.#sendChangedParameters();
      this.#server.lend(this).resume();
    }
    this.#pump();
  }

  /** Follows the client's bytes; up to where, or -1 when the client broke the protocol and was told so. */
  #scan(buffer: Buffer, start: number, end: number, oneRequest: boolean): number {
    try {
      return this.#clientStream.scan(buffer, start, end, oneRequest);
    } catch (error) {
      this.#violated(error as ProtocolViolation);
      return -1;
    }
  }

  #violated({ message, sqlstate }: ProtocolViolation): void {
    this.#sendFatal(sqlstate ?? 'XX000', message);
    this.#close();
  }

  // --- the server link --------------------------------------------------------------------------------------------------

  #adopt(connection: EngineConnection): void {
    this.#server = connection;
    this.#exchange = new Exchange();
    const clientStream = new ClientStream(this.#exchange, this.tracker);
    clientStream.terminated = this.#clientStream.terminated;
    this.#clientStream = clientStream;
    this.#engineStream = new EngineStream(this.#exchange, this.tracker);
  }

  /** Tells the client every value that is now another one than it was last told. */
  #sendChangedParameters(): void {
    for (const [name, value] of this.#server.parameters) {
      if (this.tracker.parameters.get(name) === value || NOT_FOR_CLIENTS.has(name)) continue;
      this.tracker.parameters.set(name, value);
      this.#client.send(encode.parameterStatus(name, value));
    }
  }

  async #restoreUnnamed(): Promise<void> {
    if (!this.#unnamedLost || !this.state || this.#server.isLost) return;
    this.#unnamedLost = false;
    // An engine that is lost meanwhile is noticed by #goOn.
    await restoreUnnamed(this.#server, this.state.unnamedStatement).catch(() => undefined);
  }

  #engineGone(): void {
    if (this.#phase === 'closed' || this.#phase === 'held') return;
    if (this.#clientEnded || this.#clientStream.terminated || this.#engineStream.lastWasError) {
      this.#client.end();
      this.#close();
    } else this.fail('DBP_WIRE_ENGINE_LOST');
  }

  // --- the end --------------------------------------------------------------------------------------------------------

  /** Ends the session with an error of the catalogue, as FATAL. */
  fail(code: ErrorCode, details: ErrorDetails = {}, cause?: unknown): void {
    if (this.#phase === 'closed') return;
    const error = new DbproxyError(code, details, { cause });
    this.#sendFatal(error.sqlstate ?? 'XX000', error.message);
    this.#close();
  }

  #sendFatal(sqlstate: string, message: string): void {
    this.#client.send(encode.errorResponse({ severity: 'FATAL', sqlstate, message }));
    this.#client.end();
  }

  #close(): void {
    if (this.#phase === 'closed') return;
    this.#phase = 'closed';
    this.#backlog = null;
    this.#settleWaiters(false);
    this.#server.close(this.#clientStream.atBoundary);
    this.#client.end();
    this.#client.resume();
    this.#onClosed(this);
  }

  #settleWaiters(held: boolean): void {
    for (const resolve of this.#waiters.splice(0)) resolve(held);
  }

  snapshot(): SessionSnapshot {
    const waiting = this.#phase === 'held' || this.#phase === 'busy';
    const state = this.isClosed
      ? 'closing'
      : waiting
        ? 'held'
        : this.#exchange.settled
          ? this.inTransaction
            ? 'in tx'
            : 'idle'
          : 'active';
    return {
      ...this.ref,
      engine: this.#server.engine.id,
      state,
      txStatus: this.#exchange.status,
      backendPid: this.#server.backendPid,
      stateKinds: this.state ? stateKinds(this.state) : [],
      moves: this.moves,
      lastMoveMs: this.lastMoveMs,
      connectedAt: this.connectedAt.toISOString(),
      sinceMs: Math.max(0, Math.round(performance.now() - this.#sinceMs)),
      client: this.#client.remote,
    };
  }
}
