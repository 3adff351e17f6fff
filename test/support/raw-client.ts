/** A client that speaks the protocol by hand: what libraries hide can be sent and seen. */
import { once } from 'node:events';
import { connect, type NetConnectOpts, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import {
  AuthCode,
  Backend,
  MessageReader,
  PROTOCOL_3_0,
  StartupCode,
  SCRAM_MECHANISM,
  ScramClient,
  cstrings,
  dataRow,
  encode,
  errorFields,
  type Message,
} from '../../src/protocol/index.js';
import { PASSWORD } from './engines.js';

const WAIT_MS = 30_000;

const request = (code: number): Buffer => {
  const packet = Buffer.alloc(8);
  packet.writeInt32BE(8, 0);
  packet.writeInt32BE(code, 4);
  return packet;
};

export const SSL_REQUEST = request(StartupCode.ssl);

export interface Answer {
  /** Types of all messages, as one string: `T D C Z` without the blanks. */
  readonly types: string;
  readonly rows: readonly (readonly (string | null)[])[];
  readonly tags: readonly string[];
  /** SQLSTATEs of ErrorResponses. */
  readonly errors: readonly string[];
  readonly notices: readonly string[];
  readonly messages: readonly Message[];
  /** Status of ReadyForQuery; null when something else ended the wait. */
  readonly status: string | null;
}

export class RawClient {
  readonly socket: Socket;
  readonly parameters = new Map<string, string>();
  processId = 0;
  secret: Buffer = Buffer.alloc(0);
  /** The peer has ended the connection. */
  ended = false;
  readonly #reader = new MessageReader(0x7fff_fffe);
  readonly #messages: Message[] = [];
  #wake: () => void = () => undefined;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk) => {
      this.#reader.push(chunk);
      for (let next = this.#reader.next(); next; next = this.#reader.next()) this.#messages.push(next);
      this.#wake();
    });
    const end = (): void => {
      this.ended = true;
      this.#wake();
    };
    socket.on('end', end).on('close', end).on('error', end);
  }

  static async connect(where: NetConnectOpts | number): Promise<RawClient> {
    const options = typeof where === 'number' ? { host: '127.0.0.1', port: where } : where;
    const socket = connect({ ...options, allowHalfOpen: true } as NetConnectOpts);
    await once(socket, 'connect');
    return new RawClient(socket);
  }

  /** Asks for TLS as libpq does, or begins with it at once; resolves when the handshake is done. Throws what ends it. */
  static async overTls(
    port: number,
    { direct = false, ...options }: ConnectionOptions & { direct?: boolean } = {},
  ): Promise<RawClient> {
    const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
    await once(socket, 'connect');
    if (!direct) {
      socket.write(SSL_REQUEST);
      const [answer] = (await once(socket, 'data')) as [Buffer];
      if (answer.toString('latin1') !== 'S')
        throw new Error(`the answer to SSLRequest: ${answer.toString()}`);
    }
    const secured = connectTls({ socket, rejectUnauthorized: false, ...options });
    await once(secured, 'secureConnect');
    return new RawClient(secured);
  }

  /** Logs in on a connection that is open. */
  async start(options: { user?: string; database?: string; password?: string } = {}): Promise<this> {
    const { user = 'postgres', database = 'postgres' } = options;
    this.send(encode.startupMessage(PROTOCOL_3_0, new Map(Object.entries({ user, database }))));
    await this.authenticate(options.password ?? PASSWORD);
    return this;
  }

  /** Connects, authenticates (SCRAM if asked to) and waits for ReadyForQuery. Throws the FATAL error's SQLSTATE. */
  static async login(
    where: NetConnectOpts | number,
    options: {
      user?: string;
      database?: string;
      password?: string;
      version?: number;
      parameters?: Record<string, string>;
    } = {},
  ): Promise<RawClient> {
    const client = await RawClient.connect(where);
    const { user = 'postgres', database = 'postgres' } = options;
    const parameters = new Map(Object.entries({ user, database, ...options.parameters }));
    client.send(encode.startupMessage(options.version ?? PROTOCOL_3_0, parameters));
    await client.authenticate(options.password ?? PASSWORD);
    return client;
  }

  /** From the first Authentication request to ReadyForQuery. `early`: goes with the last message of ours. */
  async authenticate(password: string, early: Buffer = Buffer.alloc(0)): Promise<Message[]> {
    const seen: Message[] = [];
    const scram = new ScramClient({ password });
    for (;;) {
      const message = await this.next();
      if (!message) throw new LoginRefused('', 'the connection was closed');
      seen.push(message);
      const { type, body } = message;
      if (type === Backend.ErrorResponse) {
        const fields = errorFields(body);
        this.close();
        throw new LoginRefused(fields.get('C') ?? '', fields.get('M') ?? '', fields.get('S'));
      }
      if (type === Backend.Authentication) {
        const code = body.readInt32BE(0);
        if (code === AuthCode.sasl) this.send(encode.saslInitialResponse(SCRAM_MECHANISM, scram.first()));
        else if (code === AuthCode.saslContinue)
          this.send(encode.saslResponse(scram.final(body.toString('latin1', 4))), early);
      } else if (type === Backend.ParameterStatus) this.#parameter(body);
      else if (type === Backend.BackendKeyData) {
        this.processId = body.readInt32BE(0);
        this.secret = Buffer.from(body.subarray(4));
      } else if (type === Backend.ReadyForQuery) return seen;
    }
  }

  send(...messages: Buffer[]): void {
    this.socket.write(Buffer.concat(messages));
  }

  /** The next message, or null when the peer ended the connection. */
  async next(limitMs = WAIT_MS): Promise<Message | null> {
    await this.#until(() => this.#messages.length > 0 || this.ended, 'a message', limitMs);
    return this.#messages.shift() ?? null;
  }

  /** Everything up to ReadyForQuery, `until` (a message type), or the end. */
  async answer(until = 'Z', limitMs = WAIT_MS): Promise<Answer> {
    const messages: Message[] = [];
    for (;;) {
      const message = await this.next(limitMs);
      if (message) messages.push(message);
      if (message?.type === Backend.ParameterStatus) this.#parameter(message.body);
      if (!message || String.fromCharCode(message.type) === until) return summary(messages);
    }
  }

  async query(sql: string): Promise<Answer> {
    this.send(encode.query(Buffer.from(sql)));
    return this.answer();
  }

  /** Waits until the peer ends the connection; what it said before. */
  async end(limitMs = WAIT_MS): Promise<Answer> {
    return this.answer('\0', limitMs);
  }

  close(): void {
    this.socket.destroy();
  }

  #parameter(body: Buffer): void {
    const [name = '', value = ''] = cstrings(body);
    this.parameters.set(name, value);
  }

  async #until(condition: () => boolean, what: string, limitMs: number): Promise<void> {
    const end = performance.now() + limitMs;
    while (!condition()) {
      const left = end - performance.now();
      if (left <= 0) throw new Error(`waited ${limitMs} ms for ${what}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }
}

export class LoginRefused extends Error {
  override readonly name = 'LoginRefused';
  readonly sqlstate: string;
  readonly severity: string;

  constructor(sqlstate: string, message: string, severity = '') {
    super(message);
    this.sqlstate = sqlstate;
    this.severity = severity;
  }
}

const summary = (messages: readonly Message[]): Answer => {
  const of = (type: string): Buffer[] =>
    messages.filter((message) => message.type === type.charCodeAt(0)).map(({ body }) => body);
  const code = (body: Buffer): string => errorFields(body).get('C') ?? '';
  return {
    types: messages.map(({ type }) => String.fromCharCode(type)).join(''),
    rows: of('D').map((body) => dataRow(body)),
    tags: of('C').map((body) => cstrings(body)[0] ?? ''),
    errors: of('E').map(code),
    notices: of('N').map(code),
    messages,
    status: of('Z').at(-1)?.toString('latin1') ?? null,
  };
};
