/** What was sent to the engine and is answered by a ReadyForQuery: the client's, and our own between them. */
import { Told } from '../../multiwriter/engine/index.js';
import { Backend, dataRow, functionResult, type TxStatus } from '../../protocol/index.js';
import type { Eventually } from './eventually.js';

export interface OwnReply {
  /** The rows of each statement that gives some; of a call its value. */
  readonly sets: readonly (readonly (readonly (string | null)[])[])[];
  /** What the engine told in notices. */
  readonly told: Told;
  /** Of the last RowDescription, without its header. */
  readonly described: Buffer | null;
  /** The whole ErrorResponse, the first one; null: none. */
  readonly error: Buffer | null;
  readonly status: TxStatus;
  /** The engine did not look at it, since a message before it had failed. */
  readonly skipped: boolean;
}

export class OwnRequest {
  readonly reply: Promise<OwnReply>;
  readonly told = new Told();
  readonly #sets: (string | null)[][][] = [];
  #described: Buffer | null = null;
  #error: Buffer | null = null;
  #outstanding: number;
  readonly #failed: (error: Buffer) => void;
  #resolve: (reply: OwnReply) => void = () => undefined;

  /** So many that were sent together; `failed`: called at once, before the answers that come behind are looked at. */
  constructor(requests: number, failed: (error: Buffer) => void) {
    this.#outstanding = requests;
    this.#failed = failed;
    this.reply = new Promise((resolve) => (this.#resolve = resolve));
  }

  take(type: number, message: Buffer): void {
    if (type === Backend.RowDescription) {
      this.#sets.push([]);
      this.#described = Buffer.from(message.subarray(5));
    }
    // The session's encoding is set to UTF8 before our own queries.
    else if (type === Backend.DataRow) this.#sets.at(-1)?.push(dataRow(message.subarray(5), 'utf8'));
    else if (type === Backend.FunctionCallResponse)
      this.#sets.push([[functionResult(message.subarray(5), 'utf8')]]);
    else if (type === Backend.ErrorResponse) this.#error ??= Buffer.from(message);
  }

  /** One of them is answered. True: that was the last one. */
  ready(status: TxStatus): boolean {
    if (--this.#outstanding > 0) return false;
    if (this.#error) this.#failed(this.#error);
    const [sets, told, described, error] = [this.#sets, this.told, this.#described, this.#error];
    this.#resolve({ sets, told, described, error, status, skipped: false });
    return true;
  }

  skip(): void {
    const { told } = this;
    this.#resolve({ sets: [], told, described: null, error: null, status: 'E', skipped: true });
  }
}

export interface ClientReply {
  readonly failed: boolean;
  /** The last CommandComplete (or EmptyQueryResponse), which was kept back. */
  readonly tag: Buffer | null;
  /** A Sync that the engine did not answer, because it read COPY data. */
  readonly ignored: boolean;
}

export interface ClientRequestOptions {
  /** The engine's ReadyForQuery goes to the client as it is. */
  readonly passReady: boolean;
  /** The last CommandComplete is kept back: it may not be true yet. */
  readonly keepTag: boolean;
  /** Called before whoever waits for the reply goes on. */
  readonly answered?: (reply: ClientReply) => void;
}

/** What one waits for as for a promise (eventually.ts). */
export class ClientRequest implements Eventually<ClientReply>, ClientReply {
  readonly passReady: boolean;
  readonly keepTag: boolean;
  tag: Buffer | null = null;
  failed = false;
  ignored = false;
  readonly #answered: ((reply: ClientReply) => void) | undefined;
  #isAnswered = false;
  #goOn: ((reply: ClientReply) => void) | null = null;

  constructor({ passReady, keepTag, answered }: ClientRequestOptions) {
    this.passReady = passReady;
    this.keepTag = keepTag;
    this.#answered = answered;
  }

  then(goOn: (reply: ClientReply) => void): void {
    if (this.#isAnswered) goOn(this.#reply);
    else this.#goOn = goOn;
  }

  /** All of its answer has come, and what of it is the client's is with it. */
  answer(): void {
    this.#isAnswered = true;
    this.#answered?.(this);
    this.#goOn?.(this.#reply);
  }

  /** Without a `then`: a promise would wait for that, too. */
  get #reply(): ClientReply {
    const { failed, tag, ignored } = this;
    return { failed, tag, ignored };
  }
}
