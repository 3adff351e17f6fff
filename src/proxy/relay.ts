/**
 * The two links of a session and the bytes between them.
 *
 *          client link                                      server link
 *   client ───────────▶ received ─ scan ─ forward ─────────▶ engine
 *          ◀─────────── forward ─ scan ─ received ◀─────────
 *
 * The session says how client bytes flow: `free` as they come; `step` one request after the other, each when the one before
 * is answered, so that the next safe point is not passed by; `stop` not at all: they wait in `backlog` (at most one read)
 * and in the kernel, and the server link answers queries of ours. What the engine has been sent cannot be taken back, and a client
 * that pipelines has thousands of requests there: after a `step` that met such a one only a few go at a time for a while, also when
 * `free`, for the next one to come to a safe point soon.
 *
 * Invariant 1 (architecture.md): a client byte goes to exactly one engine, in order. Only `#fromClient` and `pump` send, and
 * the server link changes only while stopped.
 */
import {
  ClientStream,
  EngineStream,
  Exchange,
  encode,
  type ClientStreamImage,
  type ExchangeImage,
  type ProtocolViolation,
  type StreamImage,
  type TxStatus,
} from '../protocol/index.js';
import type { SessionTracker } from '../session-state/index.js';
import { coarseNow } from './coarse-clock.js';
import type { ConnectionImage, EngineConnection } from './engine-connection.js';
import type { Link, LinkOwner } from './link.js';
import { beforeDeathNotice } from './failover/death-notice.js';
import { ErrorRewriter, type ErrorRewrite } from './rewrite-errors.js';
import { Certifier, type CertifierImage } from './certify/certifier.js';
import type { WriterService } from '../multiwriter/writer/index.js';
import type { DbproxyError } from '../errors/index.js';

export type Flow = 'free' | 'step' | 'stop';

/** What a client has asked and not been answered, and in what: all that it may have to be told. */
export interface Standing {
  /** Requests that wait for a ReadyForQuery. */
  readonly pending: number;
  /** Messages of a batch were sent without their Sync. */
  readonly batchOpen: boolean;
  /** Status of the last ReadyForQuery. */
  readonly status: TxStatus;
  readonly copyIn: boolean;
  /** One of the two streams is in the middle of a message. */
  readonly cutOff: boolean;
  /** A request that was not answered may have committed something. */
  readonly mayHaveCommitted: boolean;
}

export interface RelayEvents {
  /** While stepping: a request was answered, or a safe point is reached. */
  advanced(): void;
  /** While errors are rewritten: a request was answered. */
  rewritten(): void;
  /** The client has sent something that waits, because the flow has stopped. */
  waits(): void;
  /** Who certifies cancels what runs. */
  canceling(canceled: Promise<void>): void;
  clientGone(): void;
  engineGone(): void;
  violated(violation: ProtocolViolation): void;
}

/** Looks at what passes. The buffers are only lent. */
export interface RelayTap {
  /** On its way to an engine. */
  fromClient(buffer: Buffer, end: number): void;
  toClient(buffer: Buffer, end: number): void;
}

/** Where the bytes between the two links stand, as plain data; the sockets apart. */
export interface RelayImage {
  readonly exchange: ExchangeImage;
  readonly clientStream: ClientStreamImage;
  readonly engineStream: StreamImage;
  readonly dirty: boolean;
  readonly answeredMsAgo: number;
  readonly backlog: Buffer | null;
  readonly clientEnded: boolean;
  /** Taken from one peer and not yet with the other. */
  readonly unsentToClient: Buffer;
  readonly unsentToEngine: Buffer;
  readonly server: ConnectionImage;
  /** Of a session that is certified, and held. */
  readonly certifier?: CertifierImage;
}

/** Requests of a client that pipelines that are with the engine at the same time, and how long that lasts, ms. */
const FEW = 8;
const FEW_FOR_MS = 30_000;

const NOTHING_UNSENT: { readonly toClient: Buffer; readonly toEngine: Buffer } = {
  toClient: Buffer.alloc(0),
  toEngine: Buffer.alloc(0),
};

/** ParameterStatus values that tell a fenced or waiting engine from a primary; a client sees neither. */
const NOT_FOR_CLIENTS: ReadonlySet<string> = new Set(['in_hot_standby', 'default_transaction_read_only']);

const TERMINATE = encode.terminate();

export class Relay implements LinkOwner {
  readonly client: Link;
  /** Client bytes were forwarded since this was last set to false. */
  dirty = true;
  /** When a request was last answered, or the flow began again (ms, monotonic). */
  sinceMs = coarseNow();
  /** Sees client bytes before the engine does; false: it took care of them (or waits for more). */
  intercept: ((bytes: Buffer) => boolean) | null = null;
  /** Client bytes not forwarded yet. */
  backlog: Buffer | null = null;
  /** When the first of them came (ms, monotonic). */
  backlogSinceMs = 0;
  clientEnded = false;
  /** While stepping: the next request may go on, although a safe point is reached. */
  passOne = false;
  /** What an engine says because its postmaster died is not for the client, whose session may go on (failover/). */
  outlivesEngine = false;
  /** Called at every safe point while bytes flow freely (torture.ts). */
  onSafePoint: (() => void) | null = null;
  /** Those who trace the session; empty, as nearly always: nobody. */
  readonly taps: RelayTap[] = [];
  readonly #tracker: SessionTracker;
  readonly #events: RelayEvents;
  #server: EngineConnection;
  #exchange = new Exchange();
  #clientStream: ClientStream;
  #engineStream: EngineStream;
  #flow: Flow = 'free';
  /** Until then only a few requests at a time (ms, monotonic); 0: as many as come. */
  #fewUntilMs = 0;
  #rewriter: ErrorRewriter | null = null;
  /** Bytes that may still be taken from the engine although the client does not read. */
  #ahead = 0;
  /** Of several writers: stands between us and the server link. */
  #certifier: Certifier | null = null;
  /** What the process before this one had not sent. */
  #inherited = NOTHING_UNSENT;
  /** Its server link is not lent yet. */
  #isInherited = false;

  constructor(client: Link, server: EngineConnection, tracker: SessionTracker, events: RelayEvents) {
    this.client = client;
    this.#server = server;
    this.#tracker = tracker;
    this.#events = events;
    this.#clientStream = new ClientStream(this.#exchange, tracker);
    this.#engineStream = new EngineStream(this.#exchange, tracker);
    for (const [name, value] of server.parameters) tracker.parameters.set(name, value);
  }

  start(): void {
    this.client.owner = this;
    this.#lend();
  }

  /** Behind `start`: client bytes that came with the login, and then all that come. */
  receive(early: Buffer): void {
    if (early.length > 0) this.received(this.client, early, early.length);
    this.pump();
  }

  /** Before `start`, or while stopped, by another writer in the place of the first: transactions are certified (certify/). */
  certify(writer: WriterService, session: number, fail: (error: DbproxyError) => void): void {
    const before = this.#certifier?.save();
    this.#certifier = new Certifier(writer, this.#server, {
      session,
      toClient: (bytes) => this.#fromEngine(this.#server.link, bytes, bytes.length, true),
      passToClient: (link, chunk, bytes) => this.#fromEngine(link, chunk, bytes),
      drained: () => this.drained(this.#server.link),
      engineEnded: () => this.ended(this.#server.link),
      engineClosed: () => this.closed(this.#server.link),
      quiet: () => {
        if (this.#flow === 'step') this.#events.advanced();
      },
      canceling: (canceled) => this.#events.canceling(canceled),
      fail,
      encoding: () => this.#tracker.parameters.get('client_encoding'),
      standardConformingStrings: () => this.#tracker.parameters.get('standard_conforming_strings') !== 'off',
    });
    if (before) this.#certifier.restore(before);
  }

  get hasWriter(): boolean {
    return this.#certifier !== null;
  }

  /** True: what was to be canceled waited here, and the engine has nothing of it. */
  cancelWait(): boolean {
    return this.#certifier?.cancelWait() ?? false;
  }

  /** A CancelRequest is on its way to the engine. */
  whileCanceling(canceled: Promise<void>): void {
    this.#certifier?.whileCanceling(canceled);
  }

  /** Its transaction was proposed: it is not to be canceled any more. */
  get isCertified(): boolean {
    return this.#certifier?.isCertified ?? false;
  }

  #lend(): void {
    if (this.#certifier) this.#certifier.begin(this.#server, this.#exchange.status);
    else {
      this.#exchange.addLate(this.#server.late);
      this.#server.lend(this).resume();
    }
  }

  /** Where the client's bytes go. */
  get #lane(): Pick<Certifier, 'send' | 'forward' | 'blocked' | 'end'> {
    return this.#certifier ?? this.#server.link;
  }

  get server(): EngineConnection {
    return this.#server;
  }

  /** Changes what the client reads of the engine's errors. */
  set rewrite(rewrite: ErrorRewrite | null) {
    if (this.#rewriter) this.#rewriter.rewrite = rewrite ?? (() => null);
    if (this.#rewriter?.kept.length) return;
    if (rewrite === null) this.#rewriter = null;
    else this.#rewriter ??= new ErrorRewriter(rewrite, this.#engineStream.save());
  }

  get exchange(): Exchange {
    return this.#exchange;
  }

  /** Both streams are between two messages. */
  get atBoundary(): boolean {
    const isQuiet = this.#certifier?.isQuiet ?? true;
    return isQuiet && this.#clientStream.atBoundary && this.#engineStream.atBoundary;
  }

  get atSafePoint(): boolean {
    return !this.passOne && this.#exchange.settled && this.#exchange.status === 'I' && this.atBoundary;
  }

  /** The client is gone, or has said so, and asks nothing any more. */
  get clientLeft(): boolean {
    return this.backlog === null ? this.clientEnded : this.backlog.equals(TERMINATE);
  }

  /** If the engine ends the connection now, the client knows why. */
  get endIsExpected(): boolean {
    return this.clientEnded || this.#clientStream.terminated || this.#engineStream.lastWasError;
  }

  /** Where the client stands, whose engine is gone. */
  get standing(): Standing {
    const { pending, batchOpen, answered, status, copyIn } = this.#exchange;
    return {
      ...{ pending, batchOpen, status, copyIn },
      cutOff: !this.atBoundary,
      mayHaveCommitted: this.#tracker.commits?.mayHaveCommitted(answered) ?? true,
    };
  }

  // --- flow -----------------------------------------------------------------------------------------------------------

  /** The client's bytes wait, and the server link is ours. */
  get isStopped(): boolean {
    return this.#flow === 'stop';
  }

  /** `free` or `step`: bytes may flow. After `stop` the server link is lent again, and what changed there is told. */
  flow(how: 'free' | 'step'): void {
    const stopped = this.#flow === 'stop';
    this.#flow = how;
    this.#ahead = 0;
    if (how === 'free') this.passOne = false;
    else if (this.#fewUntilMs > 0 || this.#exchange.pending > FEW)
      this.#fewUntilMs = coarseNow() + FEW_FOR_MS;
    if (!stopped) return;
    this.sinceMs = coarseNow();
    this.#sendChangedParameters();
    this.#lend();
  }

  /** Only at a boundary: the server link is ours; what the engine says unasked still reaches the client. */
  stop(): void {
    // While it was lent, the connection itself did not see what the engine reported.
    if (this.#flow !== 'stop')
      for (const [name, value] of this.#tracker.parameters) this.#server.parameters.set(name, value);
    const late = this.#flow === 'stop' ? this.#server.late : this.#exchange.takeLate();
    this.#flow = 'stop';
    this.#server.takeBack(late);
    this.#server.events = { notification: (message) => this.tell(message), lost: () => undefined };
  }

  /** The engine is gone: what the client sends waits for another one. */
  orphan(): void {
    this.#flow = 'stop';
    this.#server.close(false);
  }

  /** Swaps the server link, while stopped. Returns the old connection. */
  adopt(target: EngineConnection): EngineConnection {
    const old = this.#server;
    old.events = null;
    this.#server = target;
    this.stop();
    this.#exchange = new Exchange();
    this.#clientStream = new ClientStream(this.#exchange, this.#tracker);
    this.#engineStream = new EngineStream(this.#exchange, this.#tracker);
    const rewriter = this.#rewriter;
    if (rewriter) this.#rewriter = new ErrorRewriter(rewriter.rewrite, this.#engineStream.save());
    return old;
  }

  /** Forwards the backlog, as far as the flow allows. */
  pump(): void {
    while (this.backlog && this.#flow !== 'stop') {
      if (this.intercept && !this.intercept(this.backlog)) return;
      if (this.#flow === 'step') {
        if (this.atSafePoint) break;
        if (this.#exchange.pending > 0 && !this.#exchange.waitsForMore) return;
      } else if (this.#fewUntilMs > 0 && this.#exchange.pending >= FEW && !this.#exchange.waitsForMore)
        return;
      const oneRequest = this.#flow === 'step' || this.#fewUntilMs > 0;
      const end = this.#scan(this.backlog, this.backlog.length, oneRequest);
      if (end < 0) return;
      this.#lane.send(this.backlog.subarray(0, end));
      this.passOne = false;
      this.backlog = end < this.backlog.length ? this.backlog.subarray(end) : null;
      if (this.#lane.blocked) return;
    }
    if (this.#flow === 'step' && this.atSafePoint) this.#events.advanced();
    else if (!this.backlog && !this.#lane.blocked) {
      this.client.resume();
      if (this.clientEnded && this.#flow === 'free') this.#lane.end();
    }
  }

  /**
   * Ends the COPY FROM STDIN that the engine reads, in the client's place: it looks at a cancel only when something comes. What
   * the client still sends of it an engine ignores, that one or the next (postgres.c, PostgresMain).
   */
  failCopy(reason: string): void {
    if (!this.#exchange.copyIn || this.#certifier || !this.#clientStream.atBoundary) return;
    this.#exchange.copied();
    this.#server.link.send(encode.copyFail(reason));
  }

  /** Takes so much of the engine although the client does not read: in the middle of a send it does not look at a cancel. */
  readAhead(bytes: number): void {
    if (!this.client.blocked || this.#certifier) return;
    this.#ahead = bytes;
    this.#server.link.readAhead();
  }

  /** Sends the client something whole. */
  tell(bytes: Buffer): void {
    this.#shown(bytes, bytes.length);
    this.client.send(bytes);
  }

  /** Where both streams stand: what a tap that begins now sees first. */
  get position(): { readonly client: StreamImage; readonly engine: StreamImage } {
    return { client: this.#clientStream.save(), engine: this.#engineStream.save() };
  }

  /** Ends both links. */
  close(): void {
    this.#flow = 'stop';
    this.backlog = null;
    const server = this.#server;
    const goesOn = this.#certifier?.finishAlone(() => server.close()) ?? false;
    if (!goesOn) server.close(this.#certifier !== null || this.#clientStream.atBoundary);
    this.client.finish();
  }

  // --- handing both sockets to another process ------------------------------------------------------------------------

  /** Stops both links; once this resolves, nothing that the relay knows changes. One that is certified has to be stopped before. */
  async freeze(): Promise<void> {
    await Promise.all([this.client.freeze(), this.#server.link.freeze()]);
  }

  /** Frozen: everything that another process needs to go on. Null: what the kernel has not taken cannot be told. */
  save(): RelayImage | null {
    const unsent = this.client.unsent;
    const unsentToClient = unsent && this.#rewriter ? Buffer.concat([unsent, this.#rewriter.kept]) : unsent;
    const unsentToEngine = this.#server.link.unsent;
    if (!unsentToClient || !unsentToEngine) return null;
    const { dirty, backlog, clientEnded } = this;
    return {
      exchange: this.#exchange.save(),
      clientStream: this.#clientStream.save(),
      engineStream: this.#engineStream.save(),
      ...{ dirty, backlog, clientEnded, unsentToClient, unsentToEngine },
      answeredMsAgo: coarseNow() - this.sinceMs,
      server: this.#server.save(),
      ...(this.#certifier ? { certifier: this.#certifier.save() } : {}),
    };
  }

  /** In place of `start`: takes over where another process stood. Nothing flows before `thaw`. */
  restore(image: RelayImage): void {
    this.client.owner = this;
    if (this.#certifier && image.certifier) this.#certifier.restore(image.certifier);
    this.#exchange = Exchange.from(image.exchange);
    this.#clientStream = new ClientStream(this.#exchange, this.#tracker);
    this.#clientStream.restore(image.clientStream);
    this.#engineStream = new EngineStream(this.#exchange, this.#tracker);
    this.#engineStream.restore(image.engineStream);
    this.dirty = image.dirty;
    this.sinceMs = coarseNow() - image.answeredMsAgo;
    this.backlog = image.backlog;
    this.clientEnded = image.clientEnded;
    this.#inherited = { toClient: image.unsentToClient, toEngine: image.unsentToEngine };
    this.#isInherited = true;
  }

  /** Lets the bytes flow again: here after a freeze that was taken back, or in the process that took over. */
  thaw(): void {
    this.client.thaw();
    this.#server.link.thaw();
    if (this.#flow === 'stop') {
      if (!this.backlog) this.client.resume();
      return this.#server.link.resume();
    }
    const { toClient, toEngine } = this.#inherited;
    this.#inherited = NOTHING_UNSENT;
    this.client.send(toClient);
    this.#server.link.send(toEngine);
    if (this.#isInherited) this.#lend();
    this.#isInherited = false;
    if (this.client.blocked) this.#server.link.pause();
    else this.#server.link.resume();
    this.pump();
  }

  /** Another process has the sockets. */
  giveAway(): void {
    this.#flow = 'stop';
    this.client.giveAway();
    this.#server.link.giveAway();
  }

  // --- LinkOwner ------------------------------------------------------------------------------------------------------

  received(link: Link, buffer: Buffer, bytes: number): void {
    if (link === this.client) this.#fromClient(buffer, bytes);
    else this.#fromEngine(link, buffer, bytes);
  }

  drained(link: Link): void {
    if (link === this.client) {
      if (this.#flow !== 'stop') this.#server.link.resume();
    } else if (this.backlog) this.pump();
    else this.client.resume();
  }

  ended(link: Link): void {
    if (link !== this.client) {
      this.#events.engineGone();
      return;
    }
    this.clientEnded = true;
    if (this.backlog) return;
    if (this.#flow === 'stop') this.#events.clientGone();
    else this.#lane.end();
  }

  closed(link: Link): void {
    if (link === this.client) this.#events.clientGone();
    else if (link === this.#server.link) {
      this.#server.markLost();
      this.#events.engineGone();
    }
  }

  // --- bytes ----------------------------------------------------------------------------------------------------------

  #fromClient(buffer: Buffer, bytes: number): void {
    const isFree = this.#flow === 'free' && this.backlog === null && this.intercept === null;
    if (isFree && this.#fewUntilMs === 0) {
      if (this.#scan(buffer, bytes, false) < 0) return;
      const lane = this.#lane;
      lane.forward(buffer, 0, bytes, this.client);
      if (lane.blocked) this.client.pause();
      return;
    }
    if (this.#fewUntilMs > 0 && coarseNow() > this.#fewUntilMs) this.#fewUntilMs = 0;
    if (this.backlog === null) this.backlogSinceMs = performance.now();
    const copy = Buffer.from(buffer.subarray(0, bytes));
    this.backlog = this.backlog ? Buffer.concat([this.backlog, copy]) : copy;
    this.client.pause();
    this.pump();
    if (this.#flow !== 'stop') return;
    if (this.clientLeft) this.#events.clientGone();
    else this.#events.waits();
  }

  /** `isOurs`: the buffer is not lent, and may be kept. */
  #fromEngine(link: Link, buffer: Buffer, read: number, isOurs = false): void {
    const bytes = (this.outlivesEngine ? beforeDeathNotice(buffer, read) : null) ?? read;
    const whole = this.#engineStream.atBoundary;
    let answered: boolean;
    try {
      answered = this.#engineStream.scan(buffer, 0, bytes);
    } catch {
      this.#server.link.destroy();
      return;
    }
    if (this.#rewriter) this.tell(this.#rewriter.push(buffer.subarray(0, bytes)));
    else {
      this.#shown(buffer, bytes);
      if (isOurs) this.client.send(buffer);
      else if (this.#ahead > 0) this.client.send(Buffer.from(buffer.subarray(0, bytes)));
      else this.client.forward(buffer, 0, bytes, link);
    }
    this.#ahead = Math.max(0, this.#ahead - bytes);
    if (this.client.blocked && this.#ahead === 0) link.pause();
    if (!answered) {
      // The end of something said unasked may be all that was missing.
      if (this.#flow === 'step' && !whole && this.atSafePoint) this.#events.advanced();
      else if (this.#exchange.waitsForMore) this.#pumpOn();
      return;
    }
    this.sinceMs = coarseNow();
    if (this.#rewriter) this.#events.rewritten();
    if (this.#flow === 'step') this.#events.advanced();
    else {
      if (this.onSafePoint !== null && this.atSafePoint) this.onSafePoint();
      if (this.#fewUntilMs > 0) this.#pumpOn();
    }
  }

  /** The engine has said something that the backlog may have waited for. */
  #pumpOn(): void {
    if (this.backlog && !this.#lane.blocked) this.pump();
  }

  /** Follows the client's bytes; up to where, or -1 when the client broke the protocol. */
  #scan(buffer: Buffer, end: number, oneRequest: boolean): number {
    this.dirty = true;
    try {
      const upTo = this.#clientStream.scan(buffer, 0, end, oneRequest);
      if (this.taps.length > 0) for (const tap of this.taps) tap.fromClient(buffer, upTo);
      return upTo;
    } catch (error) {
      this.#events.violated(error as ProtocolViolation);
      return -1;
    }
  }

  /** Every value that is now another one than the client was last told. */
  #sendChangedParameters(): void {
    const told = this.#tracker.parameters;
    for (const [name, value] of this.#server.parameters) {
      if (told.get(name) === value || NOT_FOR_CLIENTS.has(name)) continue;
      told.set(name, value);
      this.tell(encode.parameterStatus(name, value));
    }
  }

  #shown(buffer: Buffer, end: number): void {
    if (this.taps.length > 0) for (const tap of this.taps) tap.toClient(buffer, end);
  }
}
