/**
 * One connection of the load: the driver `pg` connects, authenticates and reads; statements of scripts go out as bytes that
 * were laid out before.
 *
 *   Runner ── execute(bytes) ──▶ LoadConnection ── one write ──▶ proxy or engine
 *
 * At most one statement is in flight. Callbacks, not promises: seven round trips a transaction add up.
 */
import pg from 'pg';
import { encode } from '../protocol/index.js';

const CONNECT_BOUND_MS = 10_000;
const CLOSE_BOUND_MS = 2_000;
/** Opening the work on a new connection: PREPAREs, and what the probes make. */
const OPEN_BOUND_MS = 30_000;

/** `error`: what the driver threw, undefined when the statement succeeded. `tag`: CommandComplete, `UPDATE 1`. */
export type StatementDone = (error: Error | undefined, tag: string) => void;

/**
 * A statement of ours in the place of pg's Query (pg's interface for such classes: Submittable). Rows are counted by
 * nobody and dropped. One object per connection, used again and again.
 */
class InFlight implements pg.Submittable {
  bytes: Buffer = Buffer.alloc(0);
  done: StatementDone | undefined;
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
    this.end(undefined);
  }
  /** ErrorResponse, or the end of the connection. pg waits for ReadyForQuery before it sends the next one. */
  handleError(error: Error): void {
    this.end(error);
  }
  end(error: Error | undefined): void {
    const { done } = this;
    this.done = undefined;
    done?.(error, this.#tag);
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

export class LoadConnection {
  /** For the probes, which want rows. Not while `execute` has a statement in flight. */
  readonly client: pg.Client;
  readonly #inFlight = new InFlight();
  #pause: { timer: NodeJS.Timeout; onLost: (error: Error) => void } | undefined;
  /** Resolves when the connection has ended, for whatever reason. */
  readonly closed: Promise<void>;

  private constructor(client: pg.Client) {
    this.client = client;
    this.closed = new Promise((resolve) => client.on('end', resolve));
    // The statement in flight is told by pg; what matters otherwise is `closed`.
    client.on('error', () => client.connection.stream.destroy());
    void this.closed.then(() => this.#lost(new Error('the connection ended')));
  }

  /** Connects, and does what `prepare` has to do on a new connection. Bounded; throws what the driver throws. */
  static async open(
    url: string,
    prepare: (connection: LoadConnection) => Promise<void>,
  ): Promise<LoadConnection> {
    const client = new pg.Client({
      connectionString: url,
      connectionTimeoutMillis: CONNECT_BOUND_MS,
      application_name: 'dbproxy workload',
    });
    const connection = new LoadConnection(client);
    const bound = setTimeout(() => connection.destroy(), CONNECT_BOUND_MS + OPEN_BOUND_MS);
    try {
      await client.connect();
      await prepare(connection);
      return connection;
    } catch (error) {
      connection.destroy();
      throw error;
    } finally {
      clearTimeout(bound);
    }
  }

  execute(bytes: Buffer, done: StatementDone): void {
    this.#inFlight.bytes = bytes;
    this.#inFlight.done = done;
    this.client.query(this.#inFlight);
  }

  /** Lets time pass between two statements; `onLost` instead of `onEnd` when the connection ends meanwhile. */
  pause(ms: number, onEnd: () => void, onLost: (error: Error) => void): void {
    const timer = setTimeout(() => {
      this.#pause = undefined;
      onEnd();
    }, ms);
    this.#pause = { timer, onLost };
  }

  rollback(done: StatementDone): void {
    this.execute(encode.query('ROLLBACK'), done);
  }

  /** Says goodbye; after a bound it hangs up. */
  async close(): Promise<void> {
    const bound = setTimeout(() => this.destroy(), CLOSE_BOUND_MS);
    void this.client.end().catch(() => {});
    await this.closed;
    clearTimeout(bound);
  }

  /** Hangs up; the statement in flight ends with an error. */
  destroy(): void {
    this.client.connection.stream.destroy();
  }

  #lost(error: Error): void {
    this.#inFlight.end(error);
    const pause = this.#pause;
    this.#pause = undefined;
    clearTimeout(pause?.timer);
    pause?.onLost(error);
  }
}
