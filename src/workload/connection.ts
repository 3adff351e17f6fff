/**
 * One connection of the load: the driver `pg` connects, authenticates and reads; statements go out as prepared bytes.
 *
 *   LoadClient ── execute(index, values) ──▶ LoadConnection ── one write ──▶ proxy or engine
 *
 * At most one statement is in flight. Callbacks, not promises: seven round trips a transaction add up.
 */
import pg from 'pg';
import { encode } from '../protocol/index.js';
import type { Draw, Statement } from './scripts.js';
import type { Protocol } from './types.js';
import { encoderFor, prepareMessages, type Encoder } from './wire.js';

const CONNECT_BOUND_MS = 10_000;
const CLOSE_BOUND_MS = 2_000;

/** `error`: what the driver threw, undefined when the statement succeeded. `tag`: CommandComplete, `UPDATE 1`. */
export type StatementDone = (error: Error | undefined, tag: string) => void;

/**
 * A statement of ours in the place of pg's Query (pg's interface for such classes: Submittable). Rows are counted by
 * nobody and dropped. One object per connection, used again and again.
 */
class InFlight implements pg.Submittable {
  bytes: Buffer = Buffer.alloc(0);
  done: StatementDone = () => {};
  #tag = '';
  // pg looks at these.
  readonly name = undefined;
  readonly callback = (): void => {};

  submit(connection: pg.Connection): null {
    this.#tag = '';
    connection.stream.write(this.bytes);
    return null;
  }
  handleCommandComplete({ text }: { text: string }): void {
    this.#tag = text;
  }
  handleReadyForQuery(): void {
    this.done(undefined, this.#tag);
  }
  /** ErrorResponse, or the end of the connection. pg waits for ReadyForQuery before it sends the next one. */
  handleError(error: Error): void {
    this.done(error, this.#tag);
  }
  handleRowDescription(): void {}
  handleDataRow(): void {}
  handleEmptyQuery(): void {}
  handlePortalSuspended(): void {}
  handleCopyData(): void {}
  handleCopyInResponse(connection: pg.Connection & { sendCopyFail(reason: string): void }): void {
    connection.sendCopyFail('this load has nothing to copy');
  }
}

export interface ConnectionTarget {
  readonly url: string;
  readonly protocol: Protocol;
  readonly statements: readonly Statement[];
}

export class LoadConnection {
  readonly #client: pg.Client;
  readonly #encode: Encoder;
  readonly #inFlight = new InFlight();
  /** Resolves when the connection has ended, for whatever reason. */
  readonly closed: Promise<void>;

  private constructor(client: pg.Client, encode: Encoder) {
    this.#client = client;
    this.#encode = encode;
    this.closed = new Promise((resolve) => client.on('end', resolve));
    // The statement in flight is told by pg; what matters otherwise is `closed`.
    client.on('error', () => client.connection.stream.destroy());
  }

  /** Connects and, in `prepared` mode, prepares every statement. Bounded; throws what the driver throws. */
  static async open({ url, protocol, statements }: ConnectionTarget): Promise<LoadConnection> {
    const client = new pg.Client({
      connectionString: url,
      connectionTimeoutMillis: CONNECT_BOUND_MS,
      application_name: 'dbproxy workload',
    });
    const connection = new LoadConnection(client, encoderFor(protocol, statements));
    try {
      await client.connect();
      if (protocol === 'prepared') await connection.#prepare(statements);
      return connection;
    } catch (error) {
      connection.destroy();
      throw error;
    }
  }

  execute(index: number, values: Draw, done: StatementDone): void {
    this.#send(this.#encode(index, values), done);
  }

  rollback(done: StatementDone): void {
    this.#send(encode.query('ROLLBACK'), done);
  }

  /** Says goodbye; after a bound it hangs up. */
  async close(): Promise<void> {
    const bound = setTimeout(() => this.destroy(), CLOSE_BOUND_MS);
    void this.#client.end().catch(() => {});
    await this.closed;
    clearTimeout(bound);
  }

  /** Hangs up; the statement in flight ends with an error. */
  destroy(): void {
    this.#client.connection.stream.destroy();
  }

  #send(bytes: Buffer, done: StatementDone): void {
    this.#inFlight.bytes = bytes;
    this.#inFlight.done = done;
    this.#client.query(this.#inFlight);
  }

  async #prepare(statements: readonly Statement[]): Promise<void> {
    const bound = setTimeout(() => this.destroy(), CONNECT_BOUND_MS);
    try {
      await new Promise<void>((resolve, reject) => {
        this.#send(prepareMessages(statements), (error) => (error === undefined ? resolve() : reject(error)));
      });
    } finally {
      clearTimeout(bound);
    }
  }
}
