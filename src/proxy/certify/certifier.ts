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
 *
 * Here is the lane: what comes in from both sides, and in which turn it is looked at. What it means is elsewhere:
 *
 *   Query ─▶ simple-protocol.ts           ┐                   ┌ snapshots.ts, outcome-questions.ts: before a statement
 *   Parse … Sync ─▶ extended-protocol.ts, ├─▶ block.ts, with ─┤ certification.ts: COMMIT
 *                   client-batch.ts       ┘                   └ make-way.ts: rolled back for another writer
 */
import { Frontend, type TxStatus } from '../../protocol/index.js';
import type { Lsn } from '../../multiwriter/protocol/index.js';
import type { Participant, WriterService } from '../../multiwriter/writer/index.js';
import { DbproxyError } from '../../errors/index.js';
import { cancelOnEngine } from '../cancel.js';
import type { EngineConnection } from '../engine-connection.js';
import type { Link, LinkOwner } from '../link.js';
import { Block } from './block.js';
import { Certification } from './certification.js';
import { ClientBatch } from './client-batch.js';
import { ClientMessages } from './client-messages.js';
import { EngineMessages } from './engine-messages.js';
import { EngineSide } from './engine-side.js';
import { endsTransaction, errorOf, HIDDEN_WRITE, pendingEvents } from './error-messages.js';
import type { Waits } from './eventually.js';
import { ExtendedProtocol } from './extended-protocol.js';
import type { CertifierHost } from './host.js';
import { MakeWay, type Lane } from './make-way.js';
import { OneWrite } from './one-write.js';
import { OutcomeQuestions } from './outcome-questions.js';
import { OwnQueries, type UnnamedImage } from './own-queries.js';
import { ReadMode } from './read-mode.js';
import { SimpleProtocol } from './simple-protocol.js';
import { Snapshots } from './snapshots.js';
import { StatementReader, type ReaderImage } from './statement-reader.js';
import { WriterWaits } from './writer-waits.js';

/** What is known of a session at a safe point, as plain data, for whoever takes it over. All else is asked of its engine again. */
export interface CertifierImage {
  readonly reader: ReaderImage;
  readonly unnamed: UnnamedImage;
  readonly retries: number;
}

/** Client bytes that wait, before no more are read. */
const INBOX_BYTES = 256 * 1024;

export class Certifier implements LinkOwner, Participant {
  readonly #service: WriterService;
  readonly #host: CertifierHost;
  readonly #engine: EngineSide;
  readonly #messages: EngineMessages;
  readonly #client = new ClientMessages();
  readonly #reads = new ReadMode();
  readonly #waits = new WriterWaits();
  readonly #toClient: OneWrite;
  readonly #reader: StatementReader;
  readonly #queries: OwnQueries;
  readonly #certification: Certification;
  readonly #block: Block;
  readonly #batch: ClientBatch;
  readonly #simple: SimpleProtocol;
  readonly #extended: ExtendedProtocol;
  readonly #makeWay: MakeWay;
  #connection: EngineConnection;
  #leave: () => void = () => undefined;
  #inbox: (Buffer | 'abort')[] = [];
  #inboxBytes = 0;
  /** The relay was told to wait. */
  #wasBlocked = false;
  #isRunning = false;
  /** The client will send no more. */
  #isEnding = false;
  #whenDone: (() => void) | null = null;
  readonly #receives = (message: Buffer): void => this.#receive(message);
  readonly #goOn = (): void => this.#work(true);
  readonly #fails = (error: unknown): void => {
    this.#fail(error);
    this.#rest();
  };

  constructor(service: WriterService, connection: EngineConnection, host: CertifierHost) {
    this.#service = service;
    this.#host = host;
    const toClient = (this.#toClient = new OneWrite((bytes) => host.toClient(bytes)));
    const client = { toClient: (bytes: Buffer) => toClient.say(bytes), encoding: () => host.encoding() };
    this.#connection = connection;
    const engine = (this.#engine = this.#engineSide());
    this.#messages = new EngineMessages(engine);
    const reads = this.#reads;
    const waits = this.#waits;
    const reader = (this.#reader = new StatementReader(service, () => host.standardConformingStrings()));
    const queries = (this.#queries = new OwnQueries(engine));
    const block = (this.#block = new Block({ service, participant: this, engine, queries, reads }));
    const snapshots = new Snapshots({ service, engine, queries, block, reads, waits });
    const batch = (this.#batch = new ClientBatch({ engine, queries, block, snapshots, host: client }));
    const certification = new Certification({ service, engine, queries, block, host: client });
    this.#certification = certification;
    const outcomes = new OutcomeQuestions({ service, engine, queries, waits });
    const parts = {
      engine,
      queries,
      block,
      snapshots,
      certification,
      outcomes,
      reader,
      batch,
      host: client,
    };
    this.#simple = new SimpleProtocol(parts);
    this.#extended = new ExtendedProtocol(parts);
    this.#makeWay = new MakeWay({ engine, block, waits, batch, lane: this.#lane(), host });
  }

  #engineSide(): EngineSide {
    return new EngineSide({
      send: (bytes) => this.#connection.link.send(bytes),
      rewrite: (fields) => this.#rewrite(fields),
      isOurNotice: (fields) => this.#block.kind === 'implicit' && /^25(001|P01)$/.test(fields.get('C') ?? ''),
      copyInStarted: () => this.#passCopyData(),
      copyFailed: (syncs) => this.#takeAgain(syncs),
    });
  }

  get session(): number {
    return this.#host.session;
  }
  get backendPid(): number {
    return this.#connection.backendPid;
  }
  /** Proposed: what is left is to commit it. */
  get isCertified(): boolean {
    return this.#block.isCertified;
  }
  get isQuiet(): boolean {
    return !this.#isRunning && this.#inbox.length === 0 && this.#engine.isQuiet && !this.#batch.keeps;
  }

  /** The server link is the relay's from now on; `status`: what the client believes. */
  begin(connection: EngineConnection, status: TxStatus): void {
    this.#connection = connection;
    this.#waits.isGone = false;
    this.#leave();
    this.#leave = this.#service.join(this);
    this.#engine.status = status;
    this.#reads.begin();
    this.#block.resume(status);
    connection.lend(this).resume();
  }

  /** Only at a safe point. */
  save(): CertifierImage {
    return {
      reader: this.#reader.save(),
      unnamed: this.#queries.save(),
      retries: this.#certification.retries,
    };
  }

  /** Before `begin`. */
  restore({ reader, unnamed, retries }: CertifierImage): void {
    this.#reader.restore(reader);
    this.#queries.restore(unnamed);
    this.#certification.retries = retries;
  }

  // --- the relay's side: what a link is to it ------------------------------------------------------------------------------

  send(bytes: Buffer): void {
    this.#client.push(bytes, this.#receives);
    this.#run();
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
    this.#endCopy();
    this.#run();
  }

  /** Its client has gone within a COPY: the engine would wait for the rest for ever. */
  #endCopy(): void {
    if (!this.#isEnding || !this.#engine.copyIn) return;
    this.#engine.flush();
    this.#connection.link.end();
  }

  /**
   * The client is gone. True: its transaction is being certified; `whenDone` is called when that is over and the connection is free.
   */
  finishAlone(whenDone: () => void): boolean {
    this.#toClient.flush();
    this.#waits.isGone = true;
    this.#leave();
    this.#waits.cancel();
    this.#inbox = [];
    if (this.isCertified) {
      this.#whenDone = whenDone;
      return true;
    }
    this.#block.forgetTransaction();
    return false;
  }

  /** A CancelRequest ends a read that waits. False: none does, and the request is for the engine. */
  cancelWait(): boolean {
    return this.#waits.cancel();
  }

  /** Nothing goes to the engine meanwhile. */
  whileCanceling(canceled: Promise<void>): void {
    void this.#engine.whileCanceling(canceled);
  }

  // --- the engine's side ---------------------------------------------------------------------------------------------------

  received(link: Link, buffer: Buffer, bytes: number): void {
    this.#toClient.flush();
    const parts = this.#messages.take(buffer, bytes);
    if (parts === null) this.#host.passToClient(link, buffer, bytes);
    else if (parts.length > 0)
      this.#host.toClient(parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts));
    this.#tellAnswered();
  }

  #tellAnswered(): void {
    try {
      this.#engine.tellAnswered();
    } catch (error) {
      this.#fail(error);
    }
  }

  drained(): void {
    if (this.#wasBlocked && !this.blocked) this.#host.drained();
  }

  ended(): void {
    this.#toClient.flush();
    this.#host.engineEnded();
  }

  closed(): void {
    this.#toClient.flush();
    this.#waits.isGone = true;
    this.#engine.lost();
    this.#leave();
    this.#block.engineGone();
    this.#host.engineClosed();
    this.#tellAnswered();
  }

  #rewrite(fields: ReadonlyMap<string, string>): Buffer | null {
    const code = fields.get('C') ?? '';
    const instead = this.#makeWay.errorInstead(code);
    if (instead) return instead;
    if (code === '25000' && !this.#block.mustCertify && /not certified/.test(fields.get('M') ?? '')) {
      this.#reader.beWary();
      return errorOf(HIDDEN_WRITE);
    }
    const message = fields.get('M') ?? '';
    if (code === '2D000' && this.#block.kind === 'implicit') return errorOf(endsTransaction(message));
    if (code === '55006' && / TRUNCATE .*pending trigger events/.test(message))
      return errorOf(pendingEvents(message));
    return null;
  }

  // --- the writer's side ---------------------------------------------------------------------------------------------------

  /** Called again and again for as long as it stands in the way. True: it will not any more. */
  overtaken(lsn: Lsn): boolean {
    return this.#makeWay.overtaken(lsn);
  }

  // --- one message after the other -----------------------------------------------------------------------------------------

  #receive(message: Buffer): void {
    const type = message[0];
    if (this.#engine.copyIn && this.#inbox.length === 0 && isCopyMessage(type))
      return this.#engine.ofCopy(message);
    this.#inbox.push(message);
    this.#inboxBytes += message.length;
  }

  /** COPY data that came before the engine asked for it. */
  #passCopyData(): void {
    for (
      let [first] = this.#inbox;
      this.#engine.copyIn && first && first !== 'abort' && isCopyMessage(first[0]);
      [first] = this.#inbox
    ) {
      this.#inbox.shift();
      this.#inboxBytes -= first.length;
      this.#engine.ofCopy(first);
    }
    this.#endCopy();
  }

  #takeAgain(messages: readonly Buffer[]): void {
    this.#inbox.unshift(...messages);
    for (const { length } of messages) this.#inboxBytes += length;
    process.nextTick(() => this.#run());
  }

  #lane(): Lane {
    return {
      isRunning: () => this.#isRunning,
      abortNext: () => {
        this.#inbox.unshift('abort');
        this.#run();
      },
      cancel: () => cancelOnEngine(this.#connection),
    };
  }

  #run(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#work(false);
  }

  /** One after the other, until something has to be waited for, or nothing is there. `isBehind`: a message has been dealt with. */
  #work(isBehind: boolean): void {
    try {
      for (let next = isBehind ? this.#after() : this.#next(); next !== undefined; next = this.#after()) {
        if (next === null) continue;
        next.then(this.#goOn, this.#fails);
        return;
      }
    } catch (error) {
      this.#fail(error);
    }
    this.#rest();
  }

  /** Undefined: nothing is there. */
  #next(): Waits | undefined {
    const next = this.#inbox.shift();
    if (next === undefined) return undefined;
    if (next === 'abort') return this.#makeWay.abort();
    this.#inboxBytes -= next.length;
    return this.#take(next);
  }

  #after(): Waits | undefined {
    if (this.#engine.isLost) return undefined;
    return this.#makeWay.isDue ? this.#makeWay.abort() : this.#next();
  }

  #fail(error: unknown): void {
    this.#toClient.flush();
    this.#host.fail(DbproxyError.from(error));
  }

  #rest(): void {
    this.#isRunning = false;
    if (this.#whenDone) return this.#whenDone();
    this.#toClient.flush();
    this.#engine.flush();
    this.drained();
    if (this.#isEnding && this.#inbox.length === 0) this.#connection.link.end();
    else if (this.isQuiet) this.#host.quiet();
  }

  #take(message: Buffer): Waits {
    const skips = this.#batch.skipsToSync;
    switch (message[0]) {
      case Frontend.Query:
        return skips ? null : this.#simple.query(message);
      case Frontend.FunctionCall:
        return skips ? null : this.#simple.functionCall(message);
      case Frontend.Parse:
      case Frontend.Bind:
      case Frontend.Describe:
      case Frontend.Execute:
      case Frontend.Close:
        return skips ? null : this.#extended.message(message);
      case Frontend.Sync:
        return this.#extended.sync(message);
      case Frontend.CopyData:
      case Frontend.CopyDone:
      case Frontend.CopyFail:
        return this.#extended.copyAhead(message);
      default:
        this.#batch.releaseKept();
        this.#engine.plain(message);
        return null;
    }
  }
}

const isCopyMessage = (type: number | undefined): boolean =>
  type === Frontend.CopyData ||
  type === Frontend.CopyDone ||
  type === Frontend.CopyFail ||
  type === Frontend.Sync ||
  type === Frontend.Flush;
