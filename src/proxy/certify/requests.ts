/** What was sent to the engine and is answered by a ReadyForQuery: the client's, and our own between them. */
import { Told } from '../../multiwriter/engine/index.js';
import { Backend, dataRow, type TxStatus } from '../../protocol/index.js';

export interface OwnReply {
  /** The rows of each statement that gives some. */
  readonly sets: readonly (readonly (readonly (string | null)[])[])[];
  /** What the engine told in notices. */
  readonly told: Told;
  /** The whole ErrorResponse; null: none. */
  readonly error: Buffer | null;
  readonly status: TxStatus;
  /** The engine did not look at it, since a message before it had failed. */
  readonly skipped: boolean;
}

export class OwnRequest {
  readonly reply: Promise<OwnReply>;
  readonly told = new Told();
  readonly #sets: (string | null)[][][] = [];
  #error: Buffer | null = null;
  readonly #failed: (error: Buffer) => void;
  #resolve: (reply: OwnReply) => void = () => undefined;

  /** `failed`: called at once, before the answers that come behind are looked at. */
  constructor(failed: (error: Buffer) => void) {
    this.#failed = failed;
    this.reply = new Promise((resolve) => (this.#resolve = resolve));
  }

  take(type: number, message: Buffer): void {
    if (type === Backend.RowDescription) this.#sets.push([]);
    // The session's encoding is set to UTF8 before our own queries.
    else if (type === Backend.DataRow) this.#sets.at(-1)?.push(dataRow(message.subarray(5), 'utf8'));
    else if (type === Backend.ErrorResponse) this.#error ??= Buffer.from(message);
  }

  ready(status: TxStatus): void {
    if (this.#error) this.#failed(this.#error);
    this.#resolve({ sets: this.#sets, told: this.told, error: this.#error, status, skipped: false });
  }

  skip(): void {
    this.#resolve({ sets: [], told: this.told, error: null, status: 'E', skipped: true });
  }
}

export interface ClientReply {
  readonly status: TxStatus;
  readonly failed: boolean;
  /** The last CommandComplete (or EmptyQueryResponse), which was kept back. */
  readonly tag: Buffer | null;
  /** A Sync that the engine did not answer, because it read COPY data. */
  readonly ignored: boolean;
}

export class ClientRequest {
  readonly reply: Promise<ClientReply>;
  /** The engine's ReadyForQuery goes to the client as it is. */
  readonly passReady: boolean;
  /** The last CommandComplete is kept back: it may not be true yet. */
  readonly keepTag: boolean;
  tag: Buffer | null = null;
  failed = false;
  #resolve: (reply: ClientReply) => void = () => undefined;

  constructor(options: { passReady: boolean; keepTag: boolean }) {
    this.passReady = options.passReady;
    this.keepTag = options.keepTag;
    this.reply = new Promise((resolve) => (this.#resolve = resolve));
  }

  ready(status: TxStatus): void {
    this.#resolve({ status, failed: this.failed, tag: this.tag, ignored: false });
  }

  ignore(): void {
    this.#resolve({ status: 'I', failed: false, tag: null, ignored: true });
  }
}
