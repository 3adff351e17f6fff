/**
 * One connection to an engine, logged in. Either it answers exchanges of ours (`exchange`, a StateChannel), or it is lent to
 * a session that relays bytes over its link (`lend` / `takeBack`), never both at once.
 */
import type { NetConnectOpts } from 'node:net';
import {
  AuthCode,
  Backend,
  MAX_BACKEND_MESSAGE_BYTES,
  MessageReader,
  PROTOCOL_3_0,
  ScramClient,
  SCRAM_MECHANISM,
  dataRow,
  encode,
  errorFields,
  rowDescription,
  type Message,
  type ScramSecret,
  type TxStatus,
} from '../protocol/index.js';
import type { Column, Reply, Rows, StateChannel } from '../session-state/index.js';
import type { EngineRoute } from './control-api.js';
import type { Link, LinkFactory, LinkOwner } from './link.js';

/** Bound of connecting and logging in to an engine, ms. */
export const ENGINE_LOGIN_TIMEOUT_MS = 10_000;

/** Severities after which a backend says nothing more (manual, 19.8, table of severity levels; field V: 53.8). */
const ENDS_THE_BACKEND: ReadonlySet<string> = new Set(['FATAL', 'PANIC']);

const UNASKED: ReadonlySet<number> = new Set([Backend.NoticeResponse, Backend.NotificationResponse]);

/** The engine refused the login; `response` is its ErrorResponse, to be passed on as it is. */
export class EngineLoginError extends Error {
  override readonly name = 'EngineLoginError';
  readonly response: Buffer;
  readonly sqlstate: string;

  constructor(response: Buffer, body: Buffer) {
    const fields = errorFields(body);
    super(fields.get('M') ?? 'login refused');
    this.sqlstate = fields.get('C') ?? '';
    this.response = response;
  }
}

export class EngineLostError extends Error {
  override readonly name = 'EngineLostError';
}

/** What happens on the connection besides answers to our own exchanges. */
export interface EngineConnectionEvents {
  /** A NotificationResponse, or a ReadyForQuery of the client's, that came while we held the connection; whole message. */
  notification(message: Buffer): void;
  lost(connection: EngineConnection): void;
}

interface PendingExchange {
  ready: number;
  readonly replies: Reply[];
  resolve(replies: readonly Reply[]): void;
  reject(error: Error): void;
}

/** A connection as plain data; its socket apart. */
export interface ConnectionImage {
  readonly engine: EngineRoute;
  readonly backendPid: number;
  readonly cancelSecret: Buffer;
  readonly parameters: readonly (readonly [string, string])[];
  /** Of one that is not lent: what the engine says unasked, and is here in part. */
  readonly begun?: Buffer;
}

const socketOptions = ({ access }: EngineRoute): NetConnectOpts =>
  access.kind === 'socket'
    ? { path: `${access.directory}/.s.PGSQL.${access.port}` }
    : { host: access.host, port: access.port };

export class EngineConnection implements LinkOwner, StateChannel {
  readonly engine: EngineRoute;
  /** Values of ParameterStatus. */
  readonly parameters = new Map<string, string>();
  backendPid = 0;
  cancelSecret: Buffer = Buffer.alloc(0);
  /** NoticeResponses of the login, whole messages. */
  readonly loginNotices: Buffer[] = [];
  #events: EngineConnectionEvents | null = null;
  /** NotificationResponses that came while nobody listened to our events. */
  #unheard: Buffer[] = [];
  #link!: Link;
  readonly #reader = new MessageReader(MAX_BACKEND_MESSAGE_BYTES);
  readonly #pending: PendingExchange[] = [];
  #sets: (readonly (string | null)[])[][] = [];
  #columns: readonly Column[] = [];
  #error: Reply['error'] = null;
  /** So many times the engine may say ReadyForQuery to the client, before it answers anything of ours. */
  #late = 0;
  /** Data of the COPY that is under way. */
  #copied: Buffer[] = [];
  #lost: Error | null = null;
  #login: { message: (message: Message) => void; reject: (error: Error) => void } | null = null;

  private constructor(engine: EngineRoute) {
    this.engine = engine;
  }

  /**
   * Connects and logs in with the client's own StartupMessage. `secret`: for engines that ask for SCRAM.
   * Throws EngineLoginError (the engine said no) or EngineLostError (it could not be reached in time).
   */
  static async open(
    links: LinkFactory,
    engine: EngineRoute,
    parameters: ReadonlyMap<string, string>,
    secret: ScramSecret | null,
  ): Promise<EngineConnection> {
    const connection = new EngineConnection(engine);
    try {
      connection.#link = await links.connect(socketOptions(engine), connection, ENGINE_LOGIN_TIMEOUT_MS);
    } catch (cause) {
      throw new EngineLostError(`engine ${engine.id}: ${(cause as Error).message}`, { cause });
    }
    const timer = setTimeout(() => connection.#link.destroy(), ENGINE_LOGIN_TIMEOUT_MS);
    try {
      connection.#link.resume();
      connection.#link.send(encode.startupMessage(PROTOCOL_3_0, parameters));
      await connection.#logIn(secret);
      return connection;
    } catch (error) {
      connection.#link.destroy();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Goes on with a connection that another process has logged in. It is lent next. */
  static inherit(link: Link, image: ConnectionImage): EngineConnection {
    const connection = new EngineConnection(image.engine);
    connection.backendPid = image.backendPid;
    connection.cancelSecret = image.cancelSecret;
    for (const [name, value] of image.parameters) connection.parameters.set(name, value);
    if (image.begun) connection.#reader.push(image.begun);
    connection.#link = link;
    link.owner = connection;
    return connection;
  }

  save(): ConnectionImage {
    const { engine, backendPid, cancelSecret, parameters } = this;
    const begun = this.#reader.rest;
    return {
      ...{ engine, backendPid, cancelSecret, parameters: [...parameters] },
      ...(begun.length > 0 ? { begun: Buffer.from(begun) } : {}),
    };
  }

  set events(events: EngineConnectionEvents | null) {
    this.#events = events;
    if (events) for (const message of this.#unheard.splice(0)) events.notification(message);
  }

  get link(): Link {
    return this.#link;
  }

  /** Answers of ours are awaited. */
  get isBusy(): boolean {
    return this.#pending.length > 0;
  }

  get isLost(): boolean {
    return this.#lost !== null;
  }

  exchange(messages: Buffer, ready: number): Promise<readonly Reply[]> {
    if (this.#lost) return Promise.reject(this.#lost);
    return new Promise((resolve, reject) => {
      this.#pending.push({ ready, replies: [], resolve, reject });
      this.#link.send(messages);
    });
  }

  /** One statement with text parameters; its rows. Throws on an SQL error. */
  async query(sql: string, values: readonly string[] = []): Promise<Rows> {
    const messages = [encode.parse('', sql), encode.bind('', '', values), encode.execute(), encode.sync()];
    const [reply] = await this.exchange(Buffer.concat(messages), 1);
    if (reply?.error) throw new Error(`${reply.error.message} (${reply.error.sqlstate})`);
    return reply?.sets[0] ?? [];
  }

  /** From now on bytes go to `owner`. */
  lend(owner: LinkOwner): Link {
    this.#link.owner = owner;
    // What was said unasked may be here in part.
    const begun = this.#reader.takeRest();
    if (begun.length > 0) owner.received(this.#link, begun, begun.length);
    return this.#link;
  }

  /** From now on bytes are ours again. Only at a message boundary. `late`: see Exchange. */
  takeBack(late = 0): void {
    this.#late = late;
    this.#link.owner = this;
    this.#link.resume();
  }

  /**
   * Ends the connection. Terminate is sent only where a message may begin: after half a message its bytes would become the
   * other half.
   */
  close(atBoundary = true): void {
    this.events = null;
    this.#fail(new EngineLostError('closed'));
    if (!atBoundary) {
      this.#link.destroy();
      return;
    }
    this.#link.owner = this;
    this.#link.send(encode.terminate());
    this.#link.finish();
  }

  // --- LinkOwner ------------------------------------------------------------------------------------------------------

  received(_link: Link, buffer: Buffer, bytes: number): void {
    this.#reader.push(buffer.subarray(0, bytes));
    try {
      for (let message = this.#reader.next(); message; message = this.#reader.next()) this.#take(message);
    } catch (error) {
      this.#fail(error as Error);
      this.#link.destroy();
    }
  }

  drained(): void {}

  ended(): void {
    this.#link.destroy();
  }

  closed(): void {
    this.#fail(new EngineLostError(`engine ${this.engine.id} closed the connection`));
  }

  /** The socket went away while the session had it, or is about to. */
  markLost(): void {
    this.#fail(new EngineLostError(`engine ${this.engine.id} closed the connection`));
  }

  // --- our own exchanges ----------------------------------------------------------------------------------------------

  get late(): number {
    return this.#late;
  }

  #take(message: Message): void {
    if (message.type === Backend.ParameterStatus) this.#parameter(message);
    else if (this.#login) this.#login.message(message);
    else this.#answer(message);
  }

  #parameter({ body }: Message): void {
    const [name = '', value = ''] = body.toString('latin1').split('\0');
    this.parameters.set(name, value);
  }

  #answer({ type, body }: Message): void {
    if (this.#late > 0 && !UNASKED.has(type)) {
      if (type === Backend.ReadyForQuery) {
        this.#late--;
        this.#notified(encode.message(type, body));
        return;
      }
      this.#late = 0;
    }
    switch (type) {
      case Backend.RowDescription:
        this.#sets.push([]);
        this.#columns = rowDescription(body);
        break;
      case Backend.DataRow:
        if (this.#sets.length === 0) this.#sets.push([]);
        this.#sets.at(-1)?.push(dataRow(body));
        break;
      case Backend.CopyOutResponse:
        this.#copied = [];
        break;
      case Backend.CopyData:
        this.#copied.push(body);
        break;
      case Backend.CopyDone:
        // One row of one column; a data channel of its own is not worth it for what a session holds.
        this.#sets.push([[Buffer.concat(this.#copied).toString('latin1')]]);
        this.#copied = [];
        break;
      case Backend.ErrorResponse: {
        const fields = errorFields(body);
        this.#error ??= { sqlstate: fields.get('C') ?? '', message: fields.get('M') ?? '' };
        // The backend's last word; the end of its process, and of the socket, may take a while.
        if (ENDS_THE_BACKEND.has(fields.get('V') ?? '')) this.markLost();
        break;
      }
      case Backend.NotificationResponse:
        this.#notified(encode.message(type, body));
        break;
      case Backend.ReadyForQuery:
        this.#ready(body.toString('latin1') as TxStatus);
        break;
    }
  }

  #notified(message: Buffer): void {
    if (this.#events) this.#events.notification(message);
    else this.#unheard.push(message);
  }

  #ready(status: TxStatus): void {
    const [pending] = this.#pending;
    pending?.replies.push({ sets: this.#sets, columns: this.#columns, error: this.#error, status });
    this.#sets = [];
    this.#columns = [];
    this.#error = null;
    if (!pending || pending.replies.length < pending.ready) return;
    this.#pending.shift();
    pending.resolve(pending.replies);
  }

  #fail(error: Error): void {
    if (this.#lost) return;
    this.#lost = this.#error ? new EngineLostError(`${error.message}: ${this.#error.message}`) : error;
    this.#login?.reject(this.#lost);
    for (const pending of this.#pending.splice(0)) pending.reject(this.#lost);
    this.#events?.lost(this);
  }

  // --- login ----------------------------------------------------------------------------------------------------------

  #logIn(secret: ScramSecret | null): Promise<void> {
    const scram = secret && new ScramClient(secret);
    return new Promise<void>((resolve, reject) => {
      this.#login = {
        reject,
        message: ({ type, body }) => {
          try {
            if (type === Backend.Authentication) this.#authenticate(body, scram);
            else if (type === Backend.ErrorResponse)
              throw new EngineLoginError(encode.message(type, body), body);
            else if (type === Backend.NoticeResponse) this.loginNotices.push(encode.message(type, body));
            else if (type === Backend.BackendKeyData) {
              this.backendPid = body.readInt32BE(0);
              this.cancelSecret = Buffer.from(body.subarray(4));
            } else if (type === Backend.ReadyForQuery) {
              this.#login = null;
              resolve();
            }
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)));
          }
        },
      };
    });
  }

  #authenticate(body: Buffer, scram: ScramClient | null): void {
    const code = body.readInt32BE(0);
    if (code === AuthCode.ok) return;
    const data = body.toString('latin1', 4);
    if (!scram)
      throw new EngineLostError(`engine ${this.engine.id} asks for a password and there is no key for it`);
    if (code === AuthCode.sasl && data.split('\0').includes(SCRAM_MECHANISM)) {
      this.#link.send(encode.saslInitialResponse(SCRAM_MECHANISM, scram.first()));
    } else if (code === AuthCode.saslContinue) {
      this.#link.send(encode.saslResponse(scram.final(data)));
    } else if (code === AuthCode.saslFinal) {
      if (!scram.verify(data))
        throw new EngineLostError(`engine ${this.engine.id} does not know the password`);
    } else throw new EngineLostError(`engine ${this.engine.id} asks for authentication method ${code}`);
  }
}
