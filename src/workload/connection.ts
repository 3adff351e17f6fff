/**
 * One connection of the load: the driver `pg` connects, authenticates and serves the probes; statements of scripts go out as
 * bytes that were laid out before, and their answers are read where they arrive.
 *
 *   Runner ── execute(bytes) ──▶ LoadConnection ── one write ──▶ proxy or engine
 *
 * At most one statement is in flight. Callbacks, not promises: seven round trips a transaction add up.
 */
import pg from 'pg';
import { Frontend, encode } from '../protocol/index.js';
import { Answers, type AnswerError, type AnswersOwner } from './answers.js';
import { LoadSocket } from './load-socket.js';

const CONNECT_BOUND_MS = 10_000;
const CLOSE_BOUND_MS = 2_000;
/** Opening the work on a new connection: PREPAREs, and what the probes make. */
const OPEN_BOUND_MS = 30_000;

const COPY_FAIL = encode.message(Frontend.CopyFail, Buffer.from('this load has nothing to copy\0'));

/** `error`: undefined when the statement succeeded. `rolledBack`: what it did was a ROLLBACK. */
export type StatementDone = (error: Error | undefined, rolledBack: boolean) => void;

export class LoadConnection implements AnswersOwner {
  /** For the probes, which want rows. Not while `execute` has a statement in flight. */
  readonly client: pg.Client;
  readonly #socket: LoadSocket;
  #done: StatementDone | undefined;
  #error: AnswerError | undefined;
  #wasRollback = false;
  #hasEnded = false;
  #pause: { timer: NodeJS.Timeout; onLost: (error: Error) => void } | undefined;
  /** Resolves when the connection has ended, for whatever reason. */
  readonly closed: Promise<void>;

  private constructor(url: string, socket: LoadSocket) {
    this.#socket = socket;
    this.client = new pg.Client({
      connectionString: url,
      connectionTimeoutMillis: CONNECT_BOUND_MS,
      application_name: 'dbproxy workload',
      stream: socket.streamFor as unknown as NonNullable<pg.ClientConfig['stream']>,
    });
    socket.attach(this.client.connection);
    this.closed = new Promise((resolve) => this.client.on('end', resolve));
    // The statement in flight is told by `closed`.
    this.client.on('error', () => this.destroy());
    void this.closed.then(() => this.#lost());
  }

  /** Connects, and does what `prepare` has to do on a new connection. Bounded; throws what the driver throws. */
  static async open(
    url: string,
    prepare: (connection: LoadConnection) => Promise<void>,
  ): Promise<LoadConnection> {
    const reader: { answers?: Answers } = {};
    const socket = await LoadSocket.make((buffer, bytes) => reader.answers?.take(buffer, bytes));
    const connection = new LoadConnection(url, socket);
    reader.answers = new Answers(connection);
    const bound = setTimeout(() => connection.destroy(), CONNECT_BOUND_MS + OPEN_BOUND_MS);
    try {
      await connection.client.connect();
      await prepare(connection);
      return connection;
    } catch (error) {
      connection.destroy();
      throw error;
    } finally {
      clearTimeout(bound);
    }
  }

  /** `done` is never called from within. `bytes` are the connection's until then. */
  execute(bytes: Buffer, done: StatementDone): void {
    this.#done = done;
    this.#error = undefined;
    this.#wasRollback = false;
    if (this.#hasEnded) setImmediate(() => this.#lost());
    else this.#socket.write(bytes);
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
    this.#socket.destroy();
  }

  // --- AnswersOwner -----------------------------------------------------------------------------------------------------

  get inFlight(): boolean {
    return this.#done !== undefined;
  }
  ready(): void {
    this.#end(this.#error);
  }
  failed(error: AnswerError): void {
    this.#error = error;
    // No ReadyForQuery comes after it.
    if (error.severity === 'FATAL' || error.severity === 'PANIC') this.#end(error);
  }
  rolledBack(): void {
    this.#wasRollback = true;
  }
  copyIn(): void {
    this.#socket.write(COPY_FAIL);
  }
  driver(bytes: Buffer): void {
    this.#socket.toDriver(bytes);
  }
  broken(): void {
    this.destroy();
  }

  #end(error: Error | undefined): void {
    const done = this.#done;
    this.#done = undefined;
    done?.(error, this.#wasRollback);
  }

  #lost(): void {
    this.#hasEnded = true;
    const error = new Error('the connection ended');
    this.#end(error);
    const pause = this.#pause;
    this.#pause = undefined;
    clearTimeout(pause?.timer);
    pause?.onLost(error);
  }
}
