/**
 * One client of the load: runs one transaction at a time on its connection, and opens a new connection when it loses one.
 *
 *   idle ──run──▶ busy ──answered──▶ idle
 *                  └──connection lost──▶ reconnecting ──▶ idle | gone
 */
import { LoadConnection, type ConnectionTarget } from './connection.js';
import { draw, type Draw, type Script } from './scripts.js';
import type { Random } from './random.js';
import { classify, type CallError } from './taxonomy.js';

const RECONNECT_FIRST_PAUSE_MS = 20;
const RECONNECT_LONGEST_PAUSE_MS = 1_000;
/** A client that cannot connect for so long gives up; the run says so. */
const RECONNECT_BOUND_MS = 60_000;

export type ClientState = 'idle' | 'busy' | 'reconnecting' | 'gone';

export interface CallEnd {
  readonly outcome: 'committed' | 'failed' | 'unknown';
  readonly errors: readonly CallError[];
  readonly retries: number;
}

const COMMITTED: CallEnd = { outcome: 'committed', errors: [], retries: 0 };

export interface ClientEvents {
  /** The client can run again: after a call, or after it has connected again. */
  readonly onIdle: (client: LoadClient) => void;
  readonly onDisconnect: (client: LoadClient) => void;
  readonly onReconnect: () => void;
  readonly onGone: (client: LoadClient) => void;
}

export interface ClientOptions {
  readonly target: ConnectionTarget;
  readonly script: Script;
  readonly scale: number;
  readonly random: Random;
  readonly retries: number;
}

export class LoadClient {
  readonly #options: ClientOptions;
  readonly #events: ClientEvents;
  readonly #values: Draw = { aid: 1, bid: 1, tid: 1, delta: 0 };
  #connection: LoadConnection;
  #stopping = false;
  state: ClientState = 'idle';
  /** performance.now() when it last became idle. */
  idleSinceMs = performance.now();

  #step = 0;
  #errors: CallError[] = [];
  #retries = 0;
  #onEnd: (end: CallEnd) => void = () => {};

  private constructor(connection: LoadConnection, options: ClientOptions, events: ClientEvents) {
    this.#connection = connection;
    this.#options = options;
    this.#events = events;
    this.#watch(connection);
  }

  static async connect(options: ClientOptions, events: ClientEvents): Promise<LoadClient> {
    return new LoadClient(await LoadConnection.open(options.target), options, events);
  }

  /** Runs one transaction; only when idle. `onEnd` comes before the client is idle again. */
  run(onEnd: (end: CallEnd) => void): void {
    this.state = 'busy';
    this.#onEnd = onEnd;
    this.#errors = [];
    this.#retries = 0;
    this.#begin();
  }

  /** Ends the connection; a call in flight ends as failed or unknown. */
  async stop(): Promise<void> {
    this.#stopping = true;
    if (this.state === 'busy') this.#connection.destroy();
    await this.#connection.close();
  }

  #begin(): void {
    const { random, scale } = this.#options;
    draw(random, scale, this.#values);
    this.#step = 0;
    this.#next();
  }

  #next(): void {
    this.#connection.execute(this.#step, this.#values, this.#answered);
  }

  readonly #answered = (error: Error | undefined, tag: string): void => {
    if (this.state !== 'busy') return;
    const { statements } = this.#options.script;
    const committing = statements[this.#step]?.commits === true;
    if (error !== undefined) return this.#failed(classify(error, committing));
    // END of an aborted transaction succeeds, and says what it did instead (manual, COMMIT).
    if (committing && tag === 'ROLLBACK') {
      const severity = 'ERROR';
      return this.#failed(classify({ code: '40000', severity, message: 'COMMIT was a ROLLBACK' }, false));
    }
    if (++this.#step < statements.length) return this.#next();
    this.#end('committed');
  };

  #failed(error: CallError): void {
    this.#errors.push(error);
    if (error.lost) {
      this.#connection.destroy();
      return this.#end(error.outcome);
    }
    const goOn = (): void => {
      if (!error.retryable || this.#retries >= this.#options.retries) return this.#end(error.outcome);
      this.#retries++;
      this.#begin();
    };
    if (this.#options.script.statements.length === 1) return goOn();
    this.#connection.rollback((rollbackError) => {
      if (rollbackError === undefined) return goOn();
      // The transaction had failed already: losing the connection now does not make its outcome unknown.
      this.#errors.push(classify(rollbackError, false));
      this.#connection.destroy();
      this.#end(error.outcome);
    });
  }

  #end(outcome: CallEnd['outcome']): void {
    const lost = this.#errors.at(-1)?.lost === true;
    if (lost) this.state = 'reconnecting';
    const clean = this.#errors.length === 0;
    this.#onEnd(clean ? COMMITTED : { outcome, errors: this.#errors, retries: this.#retries });
    if (!lost) this.#becomeIdle();
  }

  #becomeIdle(): void {
    this.state = 'idle';
    this.idleSinceMs = performance.now();
    this.#events.onIdle(this);
  }

  #watch(connection: LoadConnection): void {
    void connection.closed.then(() => {
      if (this.state === 'busy') this.#answered(new Error('the connection ended'), '');
      if (this.#stopping) return;
      this.state = 'reconnecting';
      this.#events.onDisconnect(this);
      void this.#reconnect();
    });
  }

  async #reconnect(): Promise<void> {
    const giveUpAtMs = performance.now() + RECONNECT_BOUND_MS;
    let pauseMs = RECONNECT_FIRST_PAUSE_MS;
    while (!this.#stopping && performance.now() < giveUpAtMs) {
      try {
        this.#connection = await LoadConnection.open(this.#options.target);
      } catch {
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
        pauseMs = Math.min(pauseMs * 2, RECONNECT_LONGEST_PAUSE_MS);
        continue;
      }
      if (this.#stopping) return this.#connection.close();
      this.#watch(this.#connection);
      this.#events.onReconnect();
      return this.#becomeIdle();
    }
    this.state = 'gone';
    this.#events.onGone(this);
  }
}
