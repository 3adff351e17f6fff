/** A session as its client has it: what it says goes to one backend after the other, and all that comes back is kept. */
import {
  ClientStream,
  EngineStream,
  Exchange,
  MAX_BACKEND_MESSAGE_BYTES,
  Backend as Code,
  MessageReader,
} from '../../src/protocol/index.js';
import { nameBroken } from '../../src/proxy/broken-statements.js';
import type { EngineConnection } from '../../src/proxy/engine-connection.js';
import type { Link, LinkOwner } from '../../src/proxy/link.js';
import { SessionTracker, SettingNames, type ReplyError } from '../../src/session-state/index.js';
import { encoded, type Command } from './command.js';
import { messageText } from './message-text.js';

export class TwinSession implements LinkOwner {
  readonly names = new SettingNames();
  readonly tracker = new SessionTracker(this.names);
  broken: ReadonlyMap<string, ReplyError> = new Map();
  connection: EngineConnection;
  #exchange = new Exchange();
  #client = new ClientStream(this.#exchange, this.tracker);
  #engine = new EngineStream(this.#exchange, this.tracker);
  readonly #reader = new MessageReader(MAX_BACKEND_MESSAGE_BYTES);
  #heard: string[] = [];
  #replies: string[] = [];
  #wanted = 0;
  #waiting: { resolve(replies: readonly string[]): void; reject(error: Error): void } | null = null;

  constructor(connection: EngineConnection) {
    this.connection = connection;
    this.#knowParameters();
    connection.lend(this);
  }

  get atSafePoint(): boolean {
    return this.#exchange.settled && this.#exchange.status === 'I';
  }

  /** All that was reported to the client last. */
  get parameters(): string {
    return [...this.tracker.parameters]
      .map(([name, value]) => `${name}=${value}`)
      .sort()
      .join('\n');
  }

  /** Sent at once; the reply to each. */
  tell(commands: readonly Command[]): Promise<readonly string[]> {
    if (commands.length === 0) return Promise.resolve([]);
    const messages = Buffer.concat(commands.map(encoded));
    this.#client.scan(messages, 0, messages.length, false);
    this.#wanted = commands.length;
    this.#replies = [];
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.connection.link.send(messages);
    });
  }

  /** Runs `work` with the connection answering exchanges of ours. */
  async held<T>(work: (connection: EngineConnection) => Promise<T>): Promise<T> {
    this.connection.takeBack();
    try {
      return await work(this.connection);
    } finally {
      this.connection.lend(this);
    }
  }

  /** Goes on at `connection`, which has its state. Only while held. */
  adopt(connection: EngineConnection): void {
    this.connection.close();
    this.connection = connection;
    this.#exchange = new Exchange();
    this.#client = new ClientStream(this.#exchange, this.tracker);
    this.#engine = new EngineStream(this.#exchange, this.tracker);
    this.#knowParameters();
  }

  close(): void {
    this.#waiting = null;
    this.connection.close();
  }

  #knowParameters(): void {
    for (const [name, value] of this.connection.parameters) this.tracker.parameters.set(name, value);
  }

  // --- LinkOwner ------------------------------------------------------------------------------------------------------

  received(_link: Link, buffer: Buffer, bytes: number): void {
    this.#engine.scan(buffer, 0, bytes);
    this.#reader.push(buffer.subarray(0, bytes));
    const rewrite = nameBroken(this.broken);
    for (let message = this.#reader.next(); message; message = this.#reader.next()) {
      this.#heard.push(messageText(message, rewrite));
      if (message.type !== Code.ReadyForQuery) continue;
      this.#replies.push(replyText(this.#heard));
      this.#heard = [];
      if (this.#replies.length === this.#wanted) this.#waiting?.resolve(this.#replies);
    }
  }

  drained(): void {}

  ended(): void {
    this.closed();
  }

  closed(): void {
    this.#waiting?.reject(new Error(`the engine ended the session: ${this.#heard.join(' ')}`));
  }
}

const isParameter = (line: string): boolean => line.startsWith(PARAMETER);
const PARAMETER = `${String.fromCharCode(Code.ParameterStatus)} `;

/** Settings that change at once are reported in the order in which they were first set, which a move does not keep. */
const replyText = (heard: readonly string[]): string =>
  [...heard.filter((line) => !isParameter(line)), ...heard.filter(isParameter).sort()].join('\n');
