/**
 * One client of the load: runs one transaction at a time on its connection, and opens a new connection when it loses one.
 *
 *   idle ──run──▶ busy ──answered──▶ idle
 *                  └──connection lost──▶ reconnecting ──▶ idle | gone
 */
import { LoadConnection } from './connection.js';
import { classify, type CallError } from './taxonomy.js';
import type { Runner, Work, WorkContext } from './work.js';

const RECONNECT_FIRST_PAUSE_MS = 20;
const RECONNECT_LONGEST_PAUSE_MS = 1_000;
/** A client that cannot connect for so long gives up; the run says so. */
const RECONNECT_BOUND_MS = 60_000;

export type ClientState = 'idle' | 'busy' | 'reconnecting' | 'gone';

export interface CallEnd {
  readonly outcome: 'committed' | 'failed' | 'unknown';
  readonly errors: readonly CallError[];
  readonly retries: number;
  /** Which of the works it was. */
  readonly work: number;
}

const NO_ERRORS: readonly CallError[] = [];

export interface ClientEvents {
  /** Before the client is idle again. `doneMs`: performance.now(). */
  readonly onEnd: (client: LoadClient, end: CallEnd, doneMs: number) => void;
  /** The client can run again: after a call, or after it has connected again. */
  readonly onIdle: (client: LoadClient) => void;
  readonly onDisconnect: (client: LoadClient) => void;
  readonly onReconnect: () => void;
  readonly onGone: (client: LoadClient) => void;
}

export interface ClientOptions {
  readonly url: string;
  readonly works: readonly Work[];
  readonly context: WorkContext;
  readonly retries: number;
}

export class LoadClient {
  readonly #options: ClientOptions;
  readonly #events: ClientEvents;
  readonly #pick: () => number;
  #connection: LoadConnection;
  #runners: readonly Runner[];
  #stopping = false;
  state: ClientState = 'idle';
  /** Times are performance.now(). */
  idleSinceMs = performance.now();
  /** Of the call: when it was due, and when it was begun. */
  intendedMs = 0;
  sentMs = 0;

  #work = 0;
  #errors: readonly CallError[] = NO_ERRORS;
  #retries = 0;
  /** What most calls end with, by their work. */
  readonly #committed: readonly CallEnd[];

  private constructor(opened: Opened, options: ClientOptions, events: ClientEvents) {
    this.#connection = opened.connection;
    this.#runners = opened.runners;
    this.#options = options;
    this.#events = events;
    this.#pick = pickerOf(options);
    this.#committed = options.works.map((_, work) => ({
      outcome: 'committed',
      errors: NO_ERRORS,
      retries: 0,
      work,
    }));
    this.#watch(opened.connection);
  }

  static async connect(options: ClientOptions, events: ClientEvents): Promise<LoadClient> {
    return new LoadClient(await open(options), options, events);
  }

  /** Runs one transaction; only when idle. */
  run(intendedMs: number, sentMs: number): void {
    this.state = 'busy';
    this.intendedMs = intendedMs;
    this.sentMs = sentMs;
    this.#errors = NO_ERRORS;
    this.#retries = 0;
    this.#work = this.#pick();
    this.#runner.run(this.#tried);
  }

  /** Ends the connection; a call in flight ends as failed or unknown. */
  async stop(): Promise<void> {
    this.#stopping = true;
    if (this.state === 'busy') this.#connection.destroy();
    await this.#connection.close();
  }

  get #runner(): Runner {
    return this.#runners[this.#work] as Runner;
  }

  readonly #tried = (error?: CallError): void => {
    if (this.state !== 'busy') return;
    if (!error) return this.#end('committed');
    this.#errors = [...this.#errors, error];
    if (error.lost) {
      this.#connection.destroy();
      return this.#end(error.outcome);
    }
    const goOn = (): void => {
      if (!error.retryable || this.#retries >= this.#options.retries) return this.#end(error.outcome);
      this.#retries++;
      this.#runner.run(this.#tried);
    };
    if (!this.#runner.rollsBack) return goOn();
    this.#connection.rollback((rollbackError) => {
      if (rollbackError === undefined) return goOn();
      // The transaction had failed already: losing the connection now does not make its outcome unknown.
      this.#errors = [...this.#errors, classify(rollbackError, false)];
      this.#connection.destroy();
      this.#end(error.outcome);
    });
  };

  #end(outcome: CallEnd['outcome']): void {
    const nowMs = performance.now();
    const lost = this.#errors.at(-1)?.lost === true;
    if (lost) this.state = 'reconnecting';
    this.#events.onEnd(this, this.#endOf(outcome), nowMs);
    if (!lost) this.#becomeIdle(nowMs);
  }

  #endOf(outcome: CallEnd['outcome']): CallEnd {
    if (this.#errors === NO_ERRORS) return this.#committed[this.#work] as CallEnd;
    return { outcome, errors: this.#errors, retries: this.#retries, work: this.#work };
  }

  #becomeIdle(nowMs: number): void {
    this.state = 'idle';
    this.idleSinceMs = nowMs;
    this.#events.onIdle(this);
  }

  #watch(connection: LoadConnection): void {
    void connection.closed.then(() => {
      if (this.state === 'busy') this.#tried(classify(new Error('the connection ended'), false));
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
        ({ connection: this.#connection, runners: this.#runners } = await open(this.#options));
      } catch {
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
        pauseMs = Math.min(pauseMs * 2, RECONNECT_LONGEST_PAUSE_MS);
        continue;
      }
      if (this.#stopping) return this.#connection.close();
      this.#watch(this.#connection);
      this.#events.onReconnect();
      return this.#becomeIdle(performance.now());
    }
    this.state = 'gone';
    this.#events.onGone(this);
  }
}

interface Opened {
  readonly connection: LoadConnection;
  readonly runners: readonly Runner[];
}

async function open({ url, works, context }: ClientOptions): Promise<Opened> {
  const runners: Runner[] = [];
  const connection = await LoadConnection.open(url, async (opening) => {
    for (const work of works) runners.push(await work.open(opening, context));
  });
  return { connection, runners };
}

/** Chooses the work of the next transaction, as often as its weight says. */
function pickerOf({ works, context: { random } }: ClientOptions): () => number {
  const total = works.reduce((sum, { weight }) => sum + weight, 0);
  if (works.length === 1) return () => 0;
  return () => {
    let left = random() * total;
    const index = works.findIndex(({ weight }) => (left -= weight) < 0);
    return index === -1 ? works.length - 1 : index;
  };
}
