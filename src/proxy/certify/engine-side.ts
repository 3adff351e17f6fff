/**
 * The engine's side of a session that is certified: whose answer comes next, ours or the client's.
 *
 *   what was asked, in order:  a request of the client's or of ours, until its ReadyForQuery │ some messages of the client's batch
 *
 * The engine answers in that order. After an error in a batch it skips what comes before the next Sync, requests of ours included: they
 * are told so.
 */
import { Backend, encode, errorFields, Frontend, type TxStatus } from '../../protocol/index.js';
import { isTold, type Notice, type Request } from '../../multiwriter/engine/index.js';
import type { EngineMessageHandler, Treatment } from './engine-messages.js';
import { OneWrite } from './one-write.js';
import { ClientRequest, OwnRequest, type ClientRequestOptions, type OwnReply } from './requests.js';

export type Settled = 'ok' | 'failed' | 'copy';

const { BindComplete, CloseComplete, CommandComplete, CopyInResponse, EmptyQueryResponse } = Backend;
const { ErrorResponse, NoData, NoticeResponse, NotificationResponse, ParameterStatus } = Backend;
const { ParseComplete, PortalSuspended, ReadyForQuery, RowDescription } = Backend;

/** Each message of a batch is answered by one of these at last, or by an error. */
const COMPLETIONS: ReadonlySet<number> = new Set([
  ...[ParseComplete, BindComplete, CloseComplete, NoData, RowDescription],
  ...[CommandComplete, EmptyQueryResponse, PortalSuspended],
]);
const UNASKED: ReadonlySet<number> = new Set([NoticeResponse, NotificationResponse, ParameterStatus]);
/** All else that a request of the client's is answered by goes to it as it is. */
const LOOKED_AT: ReadonlySet<number> = new Set([...UNASKED, ErrorResponse, CopyInResponse]);

/** Messages of the client's batch that are not answered, one after the other. */
class Batch {
  outstanding = 1;
}

type Asked = OwnRequest | ClientRequest | Batch;

export interface EngineSideOptions {
  /** Sends to the engine. */
  readonly send: (bytes: Buffer) => void;
  /** What the client reads instead of the engine's error; null: the error. */
  readonly rewrite: (fields: ReadonlyMap<string, string>) => Buffer | null;
  /** A notice that is due to us, not to the client. */
  readonly isOurNotice: (fields: ReadonlyMap<string, string>) => boolean;
  /** The engine reads COPY data. */
  readonly copyInStarted: () => void;
  /** It does no more: what it was not sent, since it would have ignored it, is to be answered now. */
  readonly copyFailed: (syncs: readonly Buffer[]) => void;
}

export class EngineSide implements EngineMessageHandler {
  readonly #options: EngineSideOptions;
  readonly #asked: Asked[] = [];
  readonly #outgoing: OneWrite;
  /** They have all of their answer, and whoever has asked is not told yet. */
  readonly #answered: ClientRequest[] = [];
  #settling: ((settled: Settled) => void)[] = [];
  #isLost = false;
  /** Of the last ReadyForQuery. */
  status: TxStatus = 'I';
  /** The batch failed: the engine skips to its Sync. */
  failed = false;
  copyIn = false;
  /** Behind the last data of a COPY: not sent. */
  #ignored: Buffer[] = [];
  /** What waits until the batch is settled. */
  #waiting: Buffer | null = null;
  /** Parse and Close of the batch that are not answered. */
  #changes: { readonly isOurs: boolean; readonly done: () => void }[] = [];

  constructor(options: EngineSideOptions) {
    this.#options = options;
    this.#outgoing = new OneWrite(options.send);
  }

  get isQuiet(): boolean {
    return this.#asked.length === 0;
  }

  /** A request of the client, or its batch, is being worked on. */
  get isBusy(): boolean {
    return !this.isQuiet;
  }

  // --- asking ------------------------------------------------------------------------------------------------------------

  /** Ours: simple queries and calls, sent together. Skipped where the engine would skip them. */
  ask(requests: readonly Request[], failed: (error: Buffer) => void = () => undefined): Promise<OwnReply> {
    return this.#askBy(requests.map(encoded), new OwnRequest(requests.length, failed));
  }

  /** Ours: what a cursor's rows are. Within a transaction block, whose portals a Sync leaves as they are. */
  describePortal(name: string): Promise<OwnReply> {
    const messages = [encode.describePortal(Buffer.from(name)), encode.sync()];
    return this.#askBy(messages, new OwnRequest(1, () => undefined));
  }

  #askBy(messages: readonly Buffer[], request: OwnRequest): Promise<OwnReply> {
    if (this.failed) request.skip();
    else {
      for (const message of messages) this.#send(message);
      this.#push(request);
    }
    return request.reply;
  }

  /** The client's Query, FunctionCall or Sync. */
  request(message: Buffer, options: ClientRequestOptions): ClientRequest {
    const request = new ClientRequest(options);
    this.#send(message);
    this.#push(request);
    return request;
  }

  /** One of the client's batch; `done`: of a Parse or Close, called when the engine has carried it out. */
  extended(message: Buffer, done: () => void = () => undefined): void {
    this.#extended(message, { isOurs: false, done });
  }

  #extended(message: Buffer, change: { isOurs: boolean; done: () => void }): void {
    this.#send(message);
    if (this.failed || this.#isLost) return;
    if (message[0] === Frontend.Parse || message[0] === Frontend.Close) this.#changes.push(change);
    const last = this.#asked.at(-1);
    if (last instanceof Batch) last.outstanding++;
    else this.#asked.push(new Batch());
  }

  /** Messages of the client's batch are not answered. */
  get hasOutstanding(): boolean {
    return this.#asked.length > 0 && this.#asked.some((one) => one instanceof Batch);
  }

  /** A Parse of the client's once more, whose answer it does not see. */
  parseAgain(message: Buffer): void {
    this.#extended(message, { isOurs: true, done: () => undefined });
  }

  /** Flush, CopyData, Terminate …: nothing answers them. */
  plain(message: Buffer): void {
    this.#send(message);
  }

  /** CopyData, CopyDone, CopyFail; Flush and Sync, which an engine ignores in COPY (copyfromparse.c, CopyGetData). */
  ofCopy(message: Buffer): void {
    if (message[0] === Frontend.Sync) this.#ignored.push(message);
    if (message[0] === Frontend.Sync || message[0] === Frontend.Flush) return;
    this.#ignored = [];
    if (message[0] !== Frontend.CopyData) this.copyIn = false;
    this.plain(message);
  }

  /** In place of the client, which sends a COPY's data. */
  failCopy(): void {
    this.#ignored = [];
    this.copyIn = false;
    this.plain(encode.copyFail('canceled'));
  }

  /** There is nothing to settle, and nothing has failed. */
  get isSettled(): boolean {
    return !this.failed && !this.copyIn && !this.hasOutstanding;
  }

  /** Waits until the batch so far is answered, or has failed, or reads COPY data, of which then the `next` message is the first. */
  settle(next: Buffer | null = null): Promise<Settled> {
    if (this.failed) return Promise.resolve('failed');
    if (this.copyIn) {
      if (next) this.ofCopy(next);
      return Promise.resolve('copy');
    }
    if (!this.hasOutstanding) return Promise.resolve('ok');
    this.#waiting = next;
    this.#send(encode.flush());
    return new Promise((resolve) => this.#settling.push(resolve));
  }

  /** The connection is gone. */
  lost(): void {
    this.#isLost = true;
    for (const request of this.#asked.splice(0)) {
      if (request instanceof OwnRequest) request.skip();
      else if (request instanceof ClientRequest) this.#answered.push(request);
    }
    this.#settled('failed');
  }

  get isLost(): boolean {
    return this.#isLost;
  }

  #push(request: OwnRequest | ClientRequest): void {
    if (!this.#isLost) this.#asked.push(request);
    else if (request instanceof OwnRequest) request.skip();
    else {
      this.#answered.push(request);
      process.nextTick(() => this.tellAnswered());
    }
  }

  #send(bytes: Buffer): void {
    this.#outgoing.say(bytes);
  }

  /** Nothing is sent before the request has been taken: one that came too late for its statement would hit what is sent next. */
  whileCanceling(canceled: Promise<void>): Promise<void> {
    return this.#outgoing.hold(canceled);
  }

  flush(): void {
    this.#outgoing.flush();
  }

  // --- answers -------------------------------------------------------------------------------------------------------------

  get passesRows(): boolean {
    const [current] = this.#asked;
    return !(current instanceof OwnRequest) && !(current instanceof ClientRequest && current.tag !== null);
  }

  message(type: number, buffer: Buffer, start: number, end: number): Treatment {
    const [current] = this.#asked;
    if (current instanceof ClientRequest) {
      if (type === ReadyForQuery) return this.#ready(current, statusOf(buffer, start));
      if (!current.keepTag && !LOOKED_AT.has(type)) return 'pass';
    }
    const message = buffer.subarray(start, end);
    if (UNASKED.has(type)) return this.#unasked(type, message);
    if (current instanceof OwnRequest) return this.#toUs(current, type, message);
    const request = current instanceof ClientRequest ? current : null;
    if (type === ErrorResponse) return this.#error(request, message);
    if (type === CopyInResponse) this.#copyIn(request);
    if (request) return this.#keepTag(request, type, message);
    return current instanceof Batch ? this.#ofBatch(current, type) : 'pass';
  }

  #unasked(type: number, message: Buffer): Treatment {
    const [current] = this.#asked;
    if (type === NoticeResponse) return this.#notice(current, errorFields(message.subarray(5)));
    return type === ParameterStatus &&
      current instanceof OwnRequest &&
      message.toString('latin1', 5).startsWith('client_encoding\0')
      ? 'drop'
      : 'pass';
  }

  #notice(current: Asked | undefined, fields: ReadonlyMap<string, string>): Treatment {
    if (current instanceof OwnRequest && isTold(fields.get('C'))) {
      current.told.take(noticeOf(fields));
      return 'drop';
    }
    return this.#options.isOurNotice(fields) ? 'drop' : 'pass';
  }

  #toUs(request: OwnRequest, type: number, message: Buffer): Treatment {
    if (type !== ReadyForQuery) request.take(type, message);
    else {
      this.status = statusOf(message);
      if (request.ready(this.status)) this.#asked.shift();
    }
    return 'drop';
  }

  #ready(request: ClientRequest, status: TxStatus): Treatment {
    this.#asked.shift();
    this.status = status;
    this.failed = false;
    this.copyIn = false;
    this.#answered.push(request);
    return request.passReady ? 'pass' : 'drop';
  }

  #keepTag(request: ClientRequest, type: number, message: Buffer): Treatment {
    if (!request.keepTag) return 'pass';
    const before = request.tag;
    request.tag = type === CommandComplete || type === EmptyQueryResponse ? Buffer.from(message) : null;
    if (before === null) return request.tag ? 'drop' : 'pass';
    return request.tag ? before : Buffer.concat([before, message]);
  }

  #ofBatch(batch: Batch, type: number): Treatment {
    if (!COMPLETIONS.has(type)) return 'pass';
    const change = type === ParseComplete || type === CloseComplete ? this.#changes.shift() : undefined;
    change?.done();
    if (--batch.outstanding === 0) this.#asked.shift();
    if (!this.hasOutstanding) this.#settled('ok');
    return change?.isOurs ? 'drop' : 'pass';
  }

  #error(request: ClientRequest | null, message: Buffer): Treatment {
    this.copyIn = false;
    if (this.#ignored.length > 0) this.#options.copyFailed(this.#ignored.splice(0));
    const instead = this.#options.rewrite(errorFields(message.subarray(5)));
    const treatment = instead ?? 'pass';
    if (request) {
      request.failed = true;
      if (request.tag === null) return treatment;
      const before = request.tag;
      request.tag = null;
      return Buffer.concat([before, instead ?? message]);
    }
    this.#changes = [];
    this.failed = true;
    // The rest of the batch is skipped, and what we asked behind it; a Sync is not.
    while (this.#asked.length > 0 && !(this.#asked[0] instanceof ClientRequest)) {
      const skipped = this.#asked.shift();
      if (skipped instanceof OwnRequest) skipped.skip();
    }
    this.#settled('failed');
    return treatment;
  }

  #copyIn(request: ClientRequest | null): void {
    this.copyIn = true;
    // A Sync that was sent already is read as part of the copy, and not answered.
    if (request === null) {
      const at = this.#asked.findIndex((one) => one instanceof ClientRequest);
      const [sync] = at < 0 ? [] : this.#asked.splice(at, 1);
      if (sync instanceof ClientRequest) {
        sync.ignored = true;
        this.#answered.push(sync);
      }
    }
    if (this.#waiting) this.ofCopy(this.#waiting);
    this.#settled('copy');
    this.#options.copyInStarted();
  }

  /** What has come is with the client: whoever has asked on its behalf goes on. */
  tellAnswered(): void {
    for (let next = this.#answered.shift(); next; next = this.#answered.shift()) next.answer();
  }

  #settled(how: Settled): void {
    this.#waiting = null;
    for (const resolve of this.#settling.splice(0)) resolve(how);
  }
}

const encoded = (request: Request): Buffer =>
  typeof request === 'string'
    ? encode.query(Buffer.from(request))
    : encode.functionCall(
        request.oid,
        request.values.map((value) => Buffer.from(value)),
      );

const noticeOf = (fields: ReadonlyMap<string, string>): Notice => ({
  code: fields.get('C'),
  message: fields.get('M'),
  detail: fields.get('D'),
  hint: fields.get('H'),
  where: fields.get('W'),
  table: fields.get('t'),
  column: fields.get('c'),
  dataType: fields.get('d'),
  schema: fields.get('s'),
  constraint: fields.get('n'),
});

/** Of the ReadyForQuery that begins at `start`. */
const statusOf = (buffer: Buffer, start = 0): TxStatus =>
  String.fromCharCode(buffer[start + 5] ?? 0) as TxStatus;
