/**
 * Between the relay of a session and its engine, where several write: every transaction that writes is certified at its COMMIT.
 *
 *   relay ─ client's messages ─▶ inbox ─ one after the other ─▶ engine
 *         ◀─ the client's answers, ReadyForQuery last ─────────
 *
 *   no block ─ reads ─▶ as they are        no block ─ writes ─▶ implicit block ─ end of the query, Sync ─▶ COMMIT
 *   BEGIN ─▶ client's block ─ base before its first query ─▶ … ─ COMMIT ─▶ closing ─ write-set ─▶ propose ─▶ certified, or ROLLBACK
 *
 * The client sees no answer to its COMMIT before all that is over: to the relay a transaction in certification is a request that is
 * not answered, and no safe point. Own queries are simple ones; they destroy the unnamed prepared statement, which is parsed again
 * when the client uses it.
 */
import { encode, Frontend, type TxStatus } from '../../protocol/index.js';
import {
  BEGIN_QUERY,
  certified,
  closing,
  readBegun,
  readPriority,
  reassigned,
  readWriteSet,
  type Begun,
} from '../../multiwriter/engine/index.js';
import type { Lsn } from '../../multiwriter/protocol/index.js';
import type {
  Participant,
  RefusedCommit,
  Transaction,
  WriterService,
} from '../../multiwriter/writer/index.js';
import { DbproxyError } from '../../errors/index.js';
import { faultPoint } from '../../fault-point.js';
import { cancelOnEngine } from '../cancel.js';
import type { EngineConnection } from '../engine-connection.js';
import type { Link, LinkOwner } from '../link.js';
import { ClientMessages } from './client-messages.js';
import { EngineMessages } from './engine-messages.js';
import { EngineSide } from './engine-side.js';
import { asksOutcome, setFacts } from './outcome-questions.js';
import { isRefused, ReadMode } from './read-mode.js';
import { isControl, SOME_WRITE, statementsOf, type Statement } from './statements.js';

/** Client bytes that wait, before no more are read. */
const INBOX_BYTES = 256 * 1024;
/** So long a statement may take to notice that it was canceled. */
const CANCEL_AGAIN_MS = 100;

export interface CertifierHost {
  readonly session: number;
  /** Bytes of the client's, in order; the buffer is ours for good. */
  toClient(bytes: Buffer): void;
  /** A chunk as the engine sent it; lent. */
  passToClient(link: Link, chunk: Buffer, bytes: number): void;
  drained(): void;
  engineEnded(): void;
  engineClosed(): void;
  /** Nothing of ours is under way. */
  quiet(): void;
  /** A CancelRequest of ours is under way: one that comes too late for its statement would hit what others ask. */
  canceling(canceled: Promise<void>): void;
  fail(error: DbproxyError): void;
  /** The client's, as far as it is known. */
  encoding(): string | undefined;
}

export class Certifier implements LinkOwner, Participant {
  readonly #service: WriterService;
  readonly #host: CertifierHost;
  readonly #engine: EngineSide;
  readonly #messages: EngineMessages;
  readonly #client = new ClientMessages();
  #connection: EngineConnection;
  #leave: () => void = () => undefined;
  #inbox: (Buffer | 'abort')[] = [];
  #inboxBytes = 0;
  /** The relay was told to wait. */
  #wasBlocked = false;
  #isRunning = false;
  /** The client has gone, or the engine: what waits for the writer does not begin any more. */
  #isGone = false;
  /** The client will send no more. */
  #isEnding = false;
  #whenDone: (() => void) | null = null;

  readonly #reads = new ReadMode();
  /** A read of the client waits, and the engine knows nothing of it yet. */
  #wait: AbortController | null = null;
  #block: 'client' | 'implicit' | null = null;
  #readOnly = false;
  /** No statement of it has taken a snapshot. */
  #isFirst = false;
  #wrote = false;
  #transaction: Transaction | null = null;
  #begun: Promise<Begun | null> = Promise.resolve(null);
  /** What the client has to be told at its next request. */
  #pendingError: Buffer | null = null;
  /** It stands in the way of what another writer has committed, until all of it is rolled back. */
  #mustMakeWay = false;
  /** A ROLLBACK is on its way, or done: nothing is to be canceled any more. */
  #isRollingBack = false;
  /** A cancel of ours is on its way, or has just arrived. */
  #isCanceling = false;
  /** The writer is waited for, not the engine. */
  #waitsForWriter = false;
  /** After a refused COMMIT in a batch: up to its Sync nothing counts. */
  #skipsToSync = false;
  /** What the batch reads outside of a block is there. */
  #batchMayRead = false;
  /** A statement that seemed to read has written: from now on none is taken for a reader. */
  #isWary = false;
  #retries = 0;

  readonly #statements = new Map<string, Statement>();
  readonly #portals = new Map<string, Statement>();
  /** Prepared statements that ask what became of a transaction. */
  readonly #asking = new Set<string>();
  #unnamed: Buffer | null = null;
  #unnamedLost = false;
  /** Parse and Describe of a writer, which would be destroyed by what comes before its Bind. */
  #kept: Buffer[] = [];
  #readyPassed = false;
  /** A COPY from the client may be in this batch. */
  #copies = false;

  constructor(service: WriterService, connection: EngineConnection, host: CertifierHost) {
    this.#service = service;
    this.#host = host;
    this.#connection = connection;
    this.#engine = new EngineSide({
      send: (bytes) => this.#connection.link.send(bytes),
      rewrite: (fields) => this.#rewrite(fields),
      isOurNotice: (fields) => this.#block === 'implicit' && /^25(001|P01)$/.test(fields.get('C') ?? ''),
      copyInStarted: () => this.#passCopyData(),
    });
    this.#messages = new EngineMessages(this.#engine);
  }

  get session(): number {
    return this.#host.session;
  }
  get backendPid(): number {
    return this.#connection.backendPid;
  }
  /** Proposed: what is left is to commit it. */
  get isCertified(): boolean {
    const state = this.#transaction?.state;
    return state === 'proposed' || state === 'accepted';
  }
  get isQuiet(): boolean {
    return !this.#isRunning && this.#inbox.length === 0 && this.#engine.isQuiet && this.#kept.length === 0;
  }

  /** The server link is the relay's from now on; `status`: what the client believes. */
  begin(connection: EngineConnection, status: TxStatus): void {
    this.#connection = connection;
    this.#isGone = false;
    this.#leave();
    this.#leave = this.#service.join(this);
    this.#engine.status = status;
    this.#reads.begin();
    if (status === 'I') this.#over();
    else this.#block = 'client';
    connection.lend(this).resume();
  }

  // --- the relay's side: what a link is to it ------------------------------------------------------------------------------

  send(bytes: Buffer): void {
    this.#client.push(bytes, (message) => this.#receive(message));
    void this.#run();
  }

  forward(buffer: Buffer, start: number, end: number, _from: Link): void {
    this.send(buffer.subarray(start, end));
  }

  get blocked(): boolean {
    this.#wasBlocked = this.#inboxBytes > INBOX_BYTES || this.#connection.link.blocked;
    return this.#wasBlocked;
  }

  end(): void {
    this.#isEnding = true;
    void this.#run();
  }

  /**
   * The client is gone. True: its transaction is being certified; `whenDone` is called when that is over and the connection is free.
   */
  finishAlone(whenDone: () => void): boolean {
    this.#isGone = true;
    this.#leave();
    this.#wait?.abort();
    this.#inbox = [];
    const transaction = this.#transaction;
    if (this.isCertified) {
      this.#whenDone = whenDone;
      return true;
    }
    if (transaction) this.#service.ended(transaction);
    this.#transaction = null;
    return false;
  }

  // --- the engine's side ---------------------------------------------------------------------------------------------------

  received(link: Link, buffer: Buffer, bytes: number): void {
    const chunk = buffer.subarray(0, bytes);
    const parts = this.#messages.take(chunk);
    if (parts === null) this.#host.passToClient(link, buffer, bytes);
    else if (parts.length > 0)
      this.#host.toClient(parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts));
  }

  drained(): void {
    if (this.#wasBlocked && !this.blocked) this.#host.drained();
  }

  ended(): void {
    this.#host.engineEnded();
  }

  closed(): void {
    this.#isGone = true;
    this.#engine.lost();
    this.#leave();
    const transaction = this.#transaction;
    // What was proposed is carried out by the writer, if it is to commit.
    if (transaction && this.#service.giveUp(transaction, ENGINE_GONE)) this.#service.ended(transaction);
    this.#host.engineClosed();
  }

  // --- one message after the other -----------------------------------------------------------------------------------------

  #receive(message: Buffer): void {
    const type = message[0];
    if (this.#engine.copyIn && this.#inbox.length === 0 && isCopyMessage(type)) {
      this.#copyMessage(message);
      return;
    }
    this.#inbox.push(message);
    this.#inboxBytes += message.length;
  }

  #copyMessage(message: Buffer): void {
    if (message[0] !== Frontend.CopyData) this.#engine.copyIn = false;
    this.#engine.plain(message);
  }

  /** COPY data that came before the engine asked for it. */
  #passCopyData(): void {
    for (
      let [first] = this.#inbox;
      first && first !== 'abort' && isCopyMessage(first[0]);
      [first] = this.#inbox
    ) {
      this.#inbox.shift();
      this.#inboxBytes -= first.length;
      this.#copyMessage(first);
    }
  }

  async #run(): Promise<void> {
    if (this.#isRunning) return;
    this.#isRunning = true;
    try {
      for (let next = this.#inbox.shift(); next; next = this.#inbox.shift()) {
        if (next === 'abort') {
          await this.#abort();
          continue;
        }
        this.#inboxBytes -= next.length;
        const waits = this.#take(next);
        if (waits) await waits;
        if (this.#engine.isLost) break;
        const fails = this.#engine.status === 'T' || (this.#mustMakeWay && !this.#engine.failed);
        if (fails && this.#block === 'client') await this.#abort();
      }
    } catch (error) {
      this.#host.fail(DbproxyError.from(error));
    } finally {
      this.#isRunning = false;
    }
    if (this.#whenDone) return this.#whenDone();
    this.drained();
    if (this.#isEnding && this.#inbox.length === 0) this.#connection.link.end();
    else if (this.isQuiet) this.#host.quiet();
  }

  #take(message: Buffer): Promise<void> | null {
    switch (message[0]) {
      case Frontend.Query:
        return this.#skipsToSync ? null : this.#query(message);
      case Frontend.FunctionCall:
        return this.#skipsToSync ? null : this.#functionCall(message);
      case Frontend.Parse:
      case Frontend.Bind:
      case Frontend.Describe:
      case Frontend.Execute:
      case Frontend.Close:
        return this.#skipsToSync ? null : this.#extended(message);
      case Frontend.Sync:
        return this.#sync(message);
      default:
        this.#releaseKept();
        this.#engine.plain(message);
        return null;
    }
  }

  // --- simple queries ------------------------------------------------------------------------------------------------------

  async #query(message: Buffer): Promise<void> {
    this.#releaseKept();
    // The client's own does that, too.
    this.#unnamed = null;
    const sql = message.toString('latin1', 5, message.length - 1);
    const parts = statementsOf(sql, this.#isVolatile);
    this.#readyPassed = false;
    const refused = parts.find(({ statement }) => statement.kind === 'refused')?.statement;
    if (refused?.kind === 'refused') await this.#refuse(refused.error, refused.endsBlock);
    else {
      const canceled = asksOutcome(sql) ? await this.#tellOutcomes() : null;
      if (canceled) await this.#refuse(canceled, false);
      else await this.#parts(message, parts);
    }
    if (!this.#readyPassed) this.#sendReady();
  }

  async #parts(message: Buffer, parts: readonly { text: string; statement: Statement }[]): Promise<void> {
    if (parts.length > 1 && parts.some(({ statement }) => isControl(statement))) await this.#sequence(parts);
    else
      await this.#statement(
        message,
        parts.map(({ statement }) => statement),
        true,
      );
  }

  /** Several statements with BEGIN or COMMIT among them: one after the other, as the engine does it. */
  async #sequence(parts: readonly { text: string; statement: Statement }[]): Promise<void> {
    for (const { text, statement } of parts) {
      if (await this.#statement(encode.query(text), [statement], false)) continue;
      if (this.#block === 'implicit') await this.#leaveBlock();
      return;
    }
    if (this.#block === 'implicit') await this.#endImplicit(null);
  }

  /** False: it failed. `isLast`: the engine's ReadyForQuery may be the client's. */
  async #statement(message: Buffer, parts: readonly Statement[], isLast: boolean): Promise<boolean> {
    const [first] = parts;
    if (this.#block === null) {
      switch (first?.kind) {
        case 'begin':
          return this.#begin(message, first.readOnly, isLast);
        case 'setting':
        case 'write':
        case 'read':
          if (first.kind === 'setting' && first.sql !== null) return this.#set(message, first.sql, isLast);
          if (!isLast || parts.some(({ kind }) => kind === 'write') || this.#isWary)
            return this.#implicit(message, parts, isLast);
          if (parts.some(takesSnapshot) && !(await this.#mayRead())) return false;
          break;
        default:
      }
      return this.#plain(message, isLast, parts);
    }
    switch (first?.kind) {
      case 'begin':
        if (this.#block === 'implicit') this.#block = 'client';
        return this.#plain(message, isLast);
      case 'commit':
        return this.#commitStatement(message, first.chain, isLast);
      case 'rollback':
        return this.#rollBack(message, first.chain, isLast);
      case 'set-transaction':
        return this.#plain(message, isLast);
      case 'setting':
        if (!parts.some(takesSnapshot)) return this.#plain(message, isLast, parts);
        break;
      default:
    }
    if (parts.some(({ kind }) => kind === 'write')) this.#wrote = true;
    if (this.#isFirst && !this.#readOnly && parts.some(isDdl))
      await this.#untilWriter(() => this.#service.quiesce());
    const refused = await this.#beforeFirst();
    if (refused) {
      await this.#failBlock();
      this.#host.toClient(refused);
      return false;
    }
    return this.#plain(message, isLast, parts);
  }

  /** As it is. */
  async #plain(message: Buffer, isLast: boolean, parts: readonly Statement[] = []): Promise<boolean> {
    const passReady = isLast && this.#block !== 'implicit';
    this.#readyPassed = passReady;
    for (const part of parts) this.#noteSetting(part);
    const { failed } = await this.#engine.request(message, { passReady, keepTag: false });
    this.#followStatus();
    if (!failed) for (const part of parts) await this.#noteReassigned(part);
    return !failed;
  }

  async #begin(message: Buffer, readOnly: boolean, isLast: boolean): Promise<boolean> {
    if (!this.#reads.isIdle) await this.#reads.demand(this.#engine);
    this.#open('client', readOnly);
    return this.#plain(message, isLast);
  }

  /** Of the read mode; what comes behind it in the query is of the same transaction. */
  #set(message: Buffer, sql: string, isLast: boolean): Promise<boolean> {
    if (!isLast) {
      this.#open('implicit', false);
      this.#unnamedLost = true;
      void this.#engine.ask('begin');
    }
    return this.#plain(message, isLast, [{ kind: 'setting', sql }]);
  }

  async #implicit(message: Buffer, parts: readonly Statement[], isLast: boolean): Promise<boolean> {
    if (parts.some(isDdl)) await this.#service.quiesce();
    const refused = await this.#openImplicit();
    if (refused) {
      this.#host.toClient(refused);
      return false;
    }
    this.#wrote = this.#isWary || parts.some(({ kind }) => kind === 'write');
    for (const part of parts) this.#noteSetting(part);
    const { failed, tag } = await this.#engine.request(message, { passReady: false, keepTag: isLast });
    if (!failed) for (const part of parts) await this.#noteReassigned(part);
    if (isLast || failed) return this.#endImplicit(tag);
    return true;
  }

  /** COMMIT of a block that the client did not ask for; `tag` is told once it is done. */
  async #endImplicit(tag: Buffer | null): Promise<boolean> {
    if (this.#engine.status !== 'T') {
      await this.#leaveBlock();
      return false;
    }
    const error = this.#isFirst ? await this.#commitUnused(false) : await this.#commit(false);
    if (error) this.#host.toClient(error);
    else if (tag) this.#host.toClient(tag);
    return error === null;
  }

  async #commitStatement(message: Buffer, chain: boolean, isLast: boolean): Promise<boolean> {
    if (this.#engine.status === 'E' && this.#pendingError) {
      const error = this.#pendingError;
      await this.#leaveBlock();
      this.#host.toClient(error);
      return false;
    }
    if (this.#engine.status !== 'T' || !this.#mustCertify) {
      const ok = await this.#plain(message, isLast && this.#block === 'client');
      if (chain && ok) this.#chained();
      return ok;
    }
    const error = await this.#commit(chain);
    this.#host.toClient(error ?? encode.commandComplete('COMMIT'));
    return error === null;
  }

  async #rollBack(message: Buffer, chain: boolean, isLast: boolean): Promise<boolean> {
    this.#pendingError = null;
    this.#isRollingBack = true;
    this.#endTransaction();
    const ok = await this.#plain(message, isLast);
    if (chain && ok) this.#chained();
    return ok;
  }

  async #functionCall(message: Buffer): Promise<void> {
    this.#releaseKept();
    this.#readyPassed = false;
    await this.#statement(message, [UNKNOWN_STATEMENT], true);
    if (!this.#readyPassed) this.#sendReady();
  }

  /** As an error of the statement: a transaction it is in has failed, or is over. */
  async #refuse(error: RefusedCommit, endsBlock: boolean): Promise<void> {
    if (!endsBlock) await this.#failBlock();
    else if (this.#block !== null || this.#engine.status !== 'I') await this.#leaveBlock();
    this.#host.toClient(errorOf(error));
  }

  #sendReady(): void {
    this.#host.toClient(encode.readyForQuery(this.#block === 'client' ? this.#engine.status : 'I'));
  }

  // --- the extended protocol ---------------------------------------------------------------------------------------------

  async #extended(message: Buffer): Promise<void> {
    switch (message[0]) {
      case Frontend.Parse:
        return this.#parse(message);
      case Frontend.Bind:
        return this.#bind(message);
      case Frontend.Execute:
        return this.#execute(message);
      default:
        if (this.#kept.length > 0) this.#kept.push(message);
        else {
          this.#restoreUnnamed(message);
          this.#engine.extended(message);
        }
    }
  }

  async #parse(message: Buffer): Promise<void> {
    const [name = '', text = ''] = strings(message, 5);
    const [only] = statementsOf(text, this.#isVolatile);
    const statement: Statement = only?.statement ?? { kind: 'within' };
    if (statement.kind === 'refused' && !this.#engine.failed)
      return this.#refuseInBatch(errorOf(statement.error));
    if (this.#statements.size > 10_000) this.#statements.clear();
    this.#statements.set(name, statement);
    if (asksOutcome(text)) this.#asking.add(name);
    else this.#asking.delete(name);
    if (name === '') {
      this.#unnamed = message;
      this.#unnamedLost = false;
    }
    if (this.#block === null && statement.kind === 'write' && !this.#engine.failed) {
      this.#kept.push(message);
      return;
    }
    this.#releaseKept();
    if (!(await this.#mayGoOn(statement))) return;
    this.#engine.extended(message);
    if (name === '') this.#unnamedLost = false;
  }

  async #bind(message: Buffer): Promise<void> {
    const [portal = '', name = ''] = strings(message, 5);
    const statement = this.#statements.get(name) ?? UNKNOWN_STATEMENT;
    this.#portals.set(portal, statement);
    if (statement.kind === 'write' && statement.isCopy) this.#copies = true;
    const canceled = this.#asking.has(name) ? await this.#tellOutcomes() : null;
    if (canceled) return this.#refuseInBatch(errorOf(canceled));
    const isWriter = statement.kind === 'write' || (this.#isWary && statement.kind === 'read');
    if (this.#block === null && isWriter && !this.#engine.failed) {
      const kept = this.#kept;
      this.#kept = [];
      if (isDdl(statement)) await this.#service.quiesce();
      if ((await this.#engine.settle()) === 'ok') {
        const refused = await this.#openImplicit();
        if (refused) return this.#refuseInBatch(refused);
      }
      for (const one of kept) this.#engine.extended(one);
      if (kept.some((one) => one[0] === Frontend.Parse && one[5] === 0)) this.#unnamedLost = false;
    } else {
      this.#releaseKept();
      if (!(await this.#mayGoOn(statement))) return;
    }
    this.#restoreUnnamed(message);
    this.#engine.extended(message);
  }

  async #execute(message: Buffer): Promise<void> {
    this.#releaseKept();
    const [portal = ''] = strings(message, 5);
    const statement = this.#portals.get(portal) ?? UNKNOWN_STATEMENT;
    if (this.#engine.failed) return this.#engine.extended(message);
    if (this.#block === null) this.#isRollingBack = false;
    switch (statement.kind) {
      case 'begin':
        if (this.#block === 'implicit') this.#block = 'client';
        else if (this.#block === null) this.#open('client', statement.readOnly);
        break;
      case 'commit':
        if (this.#block !== null) return this.#commitInBatch(message, statement.chain);
        break;
      case 'rollback':
        this.#pendingError = null;
        this.#isRollingBack = true;
        this.#endTransaction();
        if (statement.chain) this.#chained();
        else this.#block = null;
        break;
      case 'write':
        this.#wrote = true;
        break;
      default:
    }
    if (takesSnapshot(statement) && this.#block !== null && !(await this.#mayGoOn(statement))) return;
    this.#noteSetting(statement);
    this.#engine.extended(message);
    if (reassigns(statement) && (await this.#engine.settle()) === 'ok') await this.#noteReassigned(statement);
  }

  async #commitInBatch(message: Buffer, chain: boolean): Promise<void> {
    if ((await this.#engine.settle()) !== 'ok') return this.#engine.extended(message);
    if (this.#engine.status === 'E' && this.#pendingError) {
      const error = this.#pendingError;
      await this.#leaveBlock();
      return this.#refuseInBatch(error);
    }
    if (this.#engine.status !== 'T' || !this.#mustCertify) {
      this.#endTransaction();
      if (chain) this.#chained();
      else this.#block = null;
      return this.#engine.extended(message);
    }
    const error = await this.#commit(chain);
    if (error) this.#refuseInBatch(error);
    else this.#host.toClient(encode.commandComplete('COMMIT'));
  }

  #refuseInBatch(error: Buffer): void {
    this.#kept = [];
    this.#skipsToSync = true;
    this.#host.toClient(error);
  }

  async #sync(message: Buffer): Promise<void> {
    this.#releaseKept();
    this.#batchMayRead = false;
    if (this.#skipsToSync) {
      this.#skipsToSync = false;
      await this.#engine.request(message, { passReady: false, keepTag: false });
      // What was refused before it reached the engine has failed there, too.
      await this.#failBlock();
      return this.#sendReady();
    }
    const settled = this.#block === 'implicit' || this.#mayCopy ? await this.#engine.settle() : 'ok';
    // The engine reads it as part of the COPY, and does not answer.
    if (settled === 'copy') return;
    if (this.#block === 'implicit' && settled === 'ok') {
      await this.#endImplicit(null);
      this.#portals.clear();
      return this.#sendReady();
    }
    const passReady = this.#block !== 'implicit';
    const { ignored } = await this.#engine.request(message, { passReady, keepTag: false });
    if (ignored) return;
    if (this.#block === 'implicit') {
      await this.#leaveBlock();
      this.#sendReady();
    }
    this.#followStatus();
    if (this.#block === null) this.#portals.clear();
    this.#copies = false;
  }

  get #mayCopy(): boolean {
    return this.#engine.hasOutstanding && this.#copies;
  }

  #releaseKept(): void {
    for (const message of this.#kept.splice(0)) this.#engine.extended(message);
  }

  /** A query of ours has destroyed it. */
  #restoreUnnamed(message: Buffer): void {
    if (!this.#unnamedLost || !this.#unnamed || !usesUnnamed(message)) return;
    this.#unnamedLost = false;
    this.#engine.parseAgain(this.#unnamed);
  }

  // --- the transaction -----------------------------------------------------------------------------------------------------

  #open(block: 'client' | 'implicit', readOnly: boolean): void {
    this.#block = block;
    this.#readOnly = readOnly;
    this.#isFirst = true;
    this.#reads.blockEnded();
    this.#wrote = false;
    this.#wayIsClear();
  }

  /** Not null: what the client is told, and there is no block. */
  async #openImplicit(): Promise<Buffer | null> {
    const refused = this.#reads.isIdle ? null : await this.#untilApplied();
    if (refused) return refused;
    await this.#service.whenReady();
    if (this.#isGone) return errorOf(GONE);
    this.#open('implicit', false);
    this.#readBegun(`begin; ${BEGIN_QUERY}`);
    return null;
  }

  /** Before the transaction's first query; the base goes out with it. Not null: what the client is told instead. */
  async #beforeFirst(): Promise<Buffer | null> {
    if (!this.#isFirst || this.#engine.status === 'E') return null;
    const refused = this.#reads.isIdle ? null : await this.#untilApplied();
    if (refused) return refused;
    this.#isFirst = false;
    if (this.#readOnly) return null;
    await this.#untilWriter(() => this.#service.whenReady());
    if (this.#isGone) return errorOf(GONE);
    // Rolled back meanwhile.
    if (this.#mustMakeWay) return null;
    this.#readBegun(BEGIN_QUERY);
    return null;
  }

  /** In a batch. Queries of ours may be needed within it: what came before has to be answered first. False: it has failed. */
  async #mayGoOn(statement: Statement): Promise<boolean> {
    if (this.#engine.failed) return true;
    if (this.#block === null) return this.#mayBegin(statement);
    if (!takesSnapshot(statement) || !this.#isFirst || this.#engine.status === 'E') return true;
    if ((await this.#engine.settle()) !== 'ok') return true;
    const refused = await this.#beforeFirst();
    if (refused) this.#refuseInBatch(refused);
    return refused === null;
  }

  /** Outside of a block: before the first of the batch that reads. */
  async #mayBegin(statement: Statement): Promise<boolean> {
    const begins = statement.kind === 'begin';
    if (this.#reads.isIdle || this.#batchMayRead || !(begins || takesSnapshot(statement))) return true;
    if ((await this.#engine.settle()) !== 'ok') return true;
    this.#unnamedLost = true;
    if (begins) {
      await this.#reads.demand(this.#engine);
      return true;
    }
    this.#batchMayRead = true;
    const refused = await this.#untilApplied();
    if (refused) this.#refuseInBatch(refused);
    return refused === null;
  }

  /** Of a statement outside of a block. False: it has failed. */
  async #mayRead(): Promise<boolean> {
    if (this.#reads.isIdle) return true;
    const refused = await this.#untilApplied();
    if (refused) this.#host.toClient(refused);
    return refused === null;
  }

  /** Waits until what the session's read mode asks for is in the engine. Not null: it is not, and the client is told so. */
  async #untilApplied(): Promise<Buffer | null> {
    const demand = await this.#reads.demand(this.#engine);
    if (isRefused(demand)) return errorOf(demand);
    if (!demand.isGlobal && demand.position === null) return null;
    const refused = await this.#cancelable((signal) => this.#service.untilApplied(demand, signal));
    return refused && errorOf(refused);
  }

  /** Meanwhile its locks may have to make way: perhaps for what is waited for. */
  async #untilWriter<T>(work: () => Promise<T> | null): Promise<T | null> {
    this.#waitsForWriter = true;
    try {
      return await work();
    } finally {
      this.#waitsForWriter = false;
    }
  }

  /** A CancelRequest ends it, as does the end of the client. */
  async #cancelable<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const wait = (this.#wait = new AbortController());
    try {
      return (await this.#untilWriter(() => work(wait.signal))) as T;
    } finally {
      this.#wait = null;
    }
  }

  /** REASSIGN OWNED has run; the engine is told, since nothing there tells it. */
  async #noteReassigned(statement: Statement): Promise<void> {
    if (!reassigns(statement) || this.#block === null) return;
    const begun = await this.#begun;
    if (!begun) return;
    this.#unnamedLost = true;
    const sql = reassigned(this.#service.secret, begun, Buffer.from(statement.reassigns, 'latin1'));
    const { error } = await this.#engine.ask(sql);
    if (error) this.#pendingError ??= error;
  }

  /** Before a statement that asks what became of a transaction. Not null: its client has canceled it. */
  async #tellOutcomes(): Promise<RefusedCommit | null> {
    if ((await this.#engine.settle()) !== 'ok' || this.#engine.status === 'E') return null;
    const facts = await this.#cancelable((signal) => this.#service.transactionFacts(signal));
    if (typeof facts !== 'string') return facts;
    this.#unnamedLost = true;
    await this.#engine.ask(setFacts(facts));
    return null;
  }

  #noteSetting(statement: Statement): void {
    if ('sql' in statement && statement.sql !== null)
      this.#reads.changed(statement.sql, this.#block !== null);
  }

  #readBegun(sql: string): void {
    this.#isFirst = false;
    const transaction = this.#service.begin(this);
    this.#transaction = transaction;
    this.#unnamedLost = true;
    const failed = (error: Buffer): void => void (this.#pendingError ??= error);
    this.#begun = this.#engine.ask(sql, failed).then(({ sets }) => {
      const row = sets[0]?.[0];
      if (!row) return null;
      const begun = readBegun(row);
      this.#service.begun(transaction, begun);
      return begun;
    });
  }

  get #mustCertify(): boolean {
    return this.#wrote && !this.#readOnly && this.#transaction !== null;
  }

  /** Null: it is committed, everywhere. Else what the client is to be told; it is rolled back. */
  async #commit(chain: boolean): Promise<Buffer | null> {
    const transaction = this.#transaction;
    const begun = await this.#begun;
    if (!transaction || !begun) {
      const error = this.#pendingError;
      await this.#leaveBlock();
      return error ?? errorOf(UNKNOWN_BASE);
    }
    await this.#setEncoding();
    await faultPoint('proxy.closing');
    this.#unnamedLost = true;
    const asksPriority = this.#service.config.policy === 'priority';
    const closed = await this.#engine.ask(closing(this.#service.secret, begun, { asksPriority }));
    if (closed.error) {
      const error = this.#pendingError ?? closed.error;
      await this.#leaveBlock();
      return error;
    }
    if (closed.skipped) return errorOf(ENGINE_GONE);
    const writeSet = readWriteSet(closed.sets.at(-1) ?? []);
    if (!writeSet) {
      this.#endTransaction();
      return this.#commitUnused(chain);
    }
    await faultPoint('proxy.propose');
    const priority = asksPriority ? readPriority(closed.sets[0]?.[0]) : 0;
    const claim = { retries: this.#retries, priority };
    const verdict = await this.#service.propose(transaction, writeSet, claim);
    if (verdict.kind === 'refused') {
      this.#retries++;
      await this.#leaveBlock();
      return errorOf(verdict.error);
    }
    this.#retries = 0;
    await this.#commitHere(transaction, begun, verdict.lsn, chain);
    return null;
  }

  /** Accepted: nothing may go wrong any more, and what does is carried out by the writer. */
  async #commitHere(transaction: Transaction, begun: Begun, at: Lsn, chain: boolean): Promise<void> {
    await faultPoint('proxy.certify');
    const sql = certified(this.#service.secret, begun, at);
    const { error, skipped } = await this.#engine.ask(chain ? `${sql} and chain` : sql);
    await faultPoint('proxy.certified');
    if (!error && !skipped) {
      this.#service.committed(transaction);
      this.#closeBlock(chain);
      return;
    }
    // The locks are gone with it.
    const replayed = this.#service.lost(transaction);
    if (!skipped) await this.#engine.ask('rollback');
    await replayed;
    this.#closeBlock(false);
  }

  /** Of a block that has written nothing. */
  async #commitUnused(chain: boolean): Promise<Buffer | null> {
    const { error } = await this.#engine.ask(chain ? 'commit and chain' : 'commit');
    this.#closeBlock(chain && !error);
    return error;
  }

  /** Write-sets are texts in UTF8. */
  async #setEncoding(): Promise<void> {
    if ((this.#host.encoding() ?? 'UTF8') === 'UTF8') return;
    await this.#engine.ask(`set local client_encoding = 'UTF8'`);
  }

  /** ROLLBACK of ours. */
  async #leaveBlock(): Promise<void> {
    this.#endTransaction();
    this.#isRollingBack = true;
    this.#unnamedLost = true;
    await this.#engine.ask('rollback');
    this.#closeBlock(false);
  }

  #closeBlock(chain: boolean): void {
    this.#over();
    if (chain) this.#open('client', false);
  }

  #chained(): void {
    this.#open('client', this.#readOnly);
  }

  #over(): void {
    this.#endTransaction();
    this.#block = null;
    this.#isFirst = false;
    this.#wrote = false;
    this.#wayIsClear();
  }

  #wayIsClear(): void {
    this.#pendingError = null;
    this.#mustMakeWay = false;
    this.#isRollingBack = false;
  }

  #endTransaction(): void {
    if (this.#transaction) this.#service.ended(this.#transaction);
    this.#transaction = null;
    this.#reads.blockEnded();
  }

  /** After a ReadyForQuery that the client has read: the block may be over. */
  #followStatus(): void {
    if (this.#engine.status !== 'I') return;
    if (this.#block !== null) this.#over();
    else this.#wayIsClear();
  }

  /** A CancelRequest ends a read that waits. False: none does, and the request is for the engine. */
  cancelWait(): boolean {
    this.#wait?.abort();
    return this.#wait !== null;
  }

  /** Nothing goes to the engine meanwhile. */
  whileCanceling(canceled: Promise<void>): void {
    void this.#engine.whileCanceling(canceled);
  }

  // --- rolled back by others -----------------------------------------------------------------------------------------------

  /** Called again and again for as long as it stands in the way. True: it will not any more. */
  overtaken(lsn: Lsn): boolean {
    const isNew = !this.#mustMakeWay;
    if (isNew && !this.#giveUp(overtakenBy(lsn))) return false;
    this.#makeWay();
    return isNew;
  }

  /** False: it was proposed, or holds nothing. */
  #giveUp(error: RefusedCommit): boolean {
    const transaction = this.#transaction;
    // Without one it may hold locks all the same: those of what it has read, or of LOCK TABLE.
    if (
      transaction ? !this.#service.giveUp(transaction, error) : !this.#engine.isBusy && this.#block === null
    )
      return false;
    this.#pendingError ??= errorOf(error);
    this.#mustMakeWay = true;
    return true;
  }

  #makeWay(): void {
    if (!this.#mustMakeWay || this.#isRollingBack) return;
    if (this.#engine.isBusy) this.#cancelStatement();
    else if (this.#waitsForWriter) void this.#abort();
    else if (!this.#isRunning) {
      this.#inbox.unshift('abort');
      void this.#run();
    }
  }

  #cancelStatement(): void {
    // While it reads from the client it takes no cancel.
    if (this.#engine.copyIn) return this.#engine.failCopy();
    if (this.#isCanceling) return;
    this.#isCanceling = true;
    const canceled = cancelOnEngine(this.#connection);
    this.#host.canceling(canceled);
    void canceled.then(() => setTimeout(() => (this.#isCanceling = false), CANCEL_AGAIN_MS).unref());
  }

  /** Savepoints and all, and in an aborted block again, as the client believes to be in one. */
  async #abort(): Promise<void> {
    if (!this.#pendingError || this.#isRollingBack) return;
    if (this.#block === 'implicit') return this.#abortImplicit(this.#pendingError);
    await this.#skipBatch();
    await this.#failBlock();
  }

  /** In a batch that waits for its client: at its Sync nobody would tell it. */
  async #abortImplicit(error: Buffer): Promise<void> {
    if (this.#engine.isBusy || this.#engine.failed) return;
    await this.#leaveBlock();
    this.#refuseInBatch(error);
  }

  /** A batch that has failed: the client may be slow to send its Sync. */
  async #skipBatch(): Promise<void> {
    if (!this.#engine.failed) return;
    this.#skipsToSync = true;
    this.#isRollingBack = true;
    await this.#engine.request(encode.sync(), { passReady: false, keepTag: false });
  }

  async #failBlock(): Promise<void> {
    if (this.#block === null) return;
    if (this.#block === 'implicit') return this.#leaveBlock();
    this.#endTransaction();
    this.#isRollingBack = true;
    this.#unnamedLost = true;
    this.#isFirst = false;
    await this.#engine.ask('rollback; begin; rollback to savepoint dbproxy_overtaken');
  }

  #rewrite(fields: ReadonlyMap<string, string>): Buffer | null {
    const code = fields.get('C') ?? '';
    const makesWay = this.#mustMakeWay && this.#block === 'client';
    // What has failed may be less than the transaction: a statement behind a savepoint.
    if (makesWay) setImmediate(() => this.#makeWay());
    if (this.#pendingError && /^(25P02|57014|3B001)$/.test(code)) {
      const error = this.#pendingError;
      // The client may go back to its savepoint, which is gone, too.
      if (!makesWay) this.#pendingError = null;
      return error;
    }
    if (code === '25000' && !this.#mustCertify && /not certified/.test(fields.get('M') ?? '')) {
      this.#isWary = true;
      return errorOf(HIDDEN_WRITE);
    }
    return null;
  }

  readonly #isVolatile = (name: string): boolean => this.#isWary || this.#service.isVolatile(name);
}

/** Prepared by SQL, or before a proxy that was replaced: it may write. */
const UNKNOWN_STATEMENT = SOME_WRITE;
const isDdl = (statement: Statement): boolean => statement.kind === 'write' && statement.isDdl;
const reassigns = (statement: Statement): statement is Statement & { reassigns: string } =>
  statement.kind === 'write' && statement.reassigns !== null;
const takesSnapshot = ({ kind }: Statement): boolean => kind === 'write' || kind === 'read';
const isCopyMessage = (type: number | undefined): boolean =>
  type === Frontend.CopyData || type === Frontend.CopyDone || type === Frontend.CopyFail;

const strings = (message: Buffer, from: number): string[] => {
  const first = message.indexOf(0, from);
  const second = message.indexOf(0, first + 1);
  return [message.toString('latin1', from, first), message.toString('latin1', first + 1, second)];
};

/** Bind of the unnamed statement, or Describe of it. */
const usesUnnamed = (message: Buffer): boolean => {
  if (message[0] === Frontend.Describe) return message[5] === 0x53 /* S */ && message[6] === 0;
  return message[0] === Frontend.Bind && message[message.indexOf(0, 5) + 1] === 0;
};

const errorOf = ({ sqlstate, message, detail, hint }: RefusedCommit): Buffer =>
  encode.errorResponse({
    severity: 'ERROR',
    sqlstate,
    message,
    ...(detail === undefined ? {} : { detail }),
    ...(hint === undefined ? {} : { hint }),
  });

const overtakenBy = (lsn: Lsn): RefusedCommit => ({
  sqlstate: '40001',
  message:
    'could not serialize access: another writer has committed a change of a row that this transaction holds',
  detail: `It had to make way for the transaction with LSN ${lsn}.`,
  hint: 'Retry the transaction.',
});

const ENGINE_GONE: RefusedCommit = { sqlstate: '57P01', message: 'the engine has ended the connection' };

/** Nobody reads it. */
const GONE: RefusedCommit = { sqlstate: '57P01', message: 'the session is over' };

const UNKNOWN_BASE: RefusedCommit = {
  sqlstate: '40001',
  message: 'could not serialize access: it is not known what this transaction has seen',
  hint: 'Retry the transaction.',
};

const HIDDEN_WRITE: RefusedCommit = {
  sqlstate: '40001',
  message: 'the statement has written, and looked as if it only read',
  hint: 'Retry it: from now on this session certifies whatever it runs.',
};
