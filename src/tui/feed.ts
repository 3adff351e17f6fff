/**
 * What comes from the supervisor: its events as they happen, and one look at the status for each frame, the next only when the
 * last was answered. When the supervisor goes away it is looked for until it is back; whoever asks next starts a new one
 * (control/client.ts), and that may be us.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { LogEvent } from '../control/api.js';
import type { Supervisor } from '../control/client.js';
import type { Message } from './model.js';

/** How old what only the engines know may be: their statistics move once a second. */
const ENGINES_AGE_MS = 1_000;
const STATUS_BOUND_MS = 10_000;
const RECONNECT_MS = 500;
/** Between two looks while a switch goes on, and at the least when its next phase has begun. */
const SWITCHING_MS = 100;
const SHORTEST_MS = 50;

export interface Pace {
  readonly refreshMs: number;
  readonly paused: boolean;
  readonly switching: boolean;
}

export class Feed {
  readonly #connect: () => Promise<Supervisor>;
  readonly #tell: (message: Message) => void;
  readonly #pace: () => Pace;
  readonly #end = new AbortController();
  #supervisor: Supervisor | null = null;
  #lastSeq = 0;
  #lostAtMs = 0;
  #nudge: () => void = () => undefined;

  constructor(connect: () => Promise<Supervisor>, tell: (message: Message) => void, pace: () => Pace) {
    this.#connect = connect;
    this.#tell = tell;
    this.#pace = pace;
  }

  /** The first connection. Throws what hinders it. */
  async open(): Promise<void> {
    this.#supervisor = await this.#connect();
  }

  /** Goes on until `close`. */
  async run(): Promise<void> {
    while (!this.#end.signal.aborted) {
      const supervisor = this.#supervisor ?? (await this.#reconnected());
      if (supervisor) await this.#listenTo(supervisor);
      this.#supervisor = null;
    }
  }

  /** The supervisor of now; null: there is none. */
  get supervisor(): Supervisor | null {
    return this.#supervisor;
  }

  /** The next look is due: something has happened, or the pace has changed. */
  nudge(): void {
    this.#nudge();
  }

  close(): void {
    this.#end.abort();
    this.#nudge();
    this.#supervisor?.close();
  }

  async #listenTo(supervisor: Supervisor): Promise<void> {
    this.#supervisor = supervisor;
    let reason = 'the supervisor is gone';
    let isThere = true;
    void supervisor.closed.then(() => {
      isThere = false;
      this.#nudge();
    });
    try {
      await this.#catchUp(supervisor);
      void this.#follow(supervisor);
      while (isThere && !this.#end.signal.aborted) {
        if (!this.#pace().paused) await this.#look(supervisor);
        await this.#untilNext();
      }
    } catch (error) {
      reason = messageOf(error);
    } finally {
      supervisor.close();
    }
    if (this.#end.signal.aborted) return;
    this.#lostAtMs = Date.now();
    this.#tellLost(reason);
  }

  async #look(supervisor: Supervisor): Promise<void> {
    const status = await supervisor.call(
      'status',
      { maxAgeMs: ENGINES_AGE_MS },
      { timeoutMs: STATUS_BOUND_MS },
    );
    this.#tell({ type: 'status', status, atMs: Date.now() });
  }

  async #catchUp(supervisor: Supervisor): Promise<void> {
    const events = await supervisor.call('events', { after: this.#lastSeq, follow: false });
    this.#lastSeq = events.at(-1)?.seq ?? this.#lastSeq;
    this.#tell({ type: 'events', events });
  }

  async #follow(supervisor: Supervisor): Promise<void> {
    const following = supervisor.call(
      'events',
      { after: this.#lastSeq, follow: true },
      { onProgress: (event) => this.#happened(event) },
    );
    await following.catch(() => undefined);
  }

  #happened(event: LogEvent): void {
    this.#lastSeq = event.seq;
    this.#tell({ type: 'events', events: [event] });
    if (event.type.startsWith('operation.')) this.#nudge();
  }

  /** Waits as long as the pace says, or until it is nudged. */
  async #untilNext(): Promise<void> {
    const { refreshMs, switching } = this.#pace();
    const cancel = new AbortController();
    const nudged = new Promise<void>((resolve) => (this.#nudge = resolve));
    const due = delay(switching ? Math.min(SWITCHING_MS, refreshMs) : refreshMs, undefined, {
      signal: cancel.signal,
    }).catch(() => undefined);
    await delay(SHORTEST_MS);
    await Promise.race([due, nudged]);
    cancel.abort();
  }

  async #reconnected(): Promise<Supervisor | null> {
    await delay(RECONNECT_MS, undefined, { signal: this.#end.signal }).catch(() => undefined);
    if (this.#end.signal.aborted) return null;
    try {
      return await this.#connect();
    } catch (error) {
      this.#tellLost(messageOf(error));
      return null;
    }
  }

  #tellLost(reason: string): void {
    this.#tell({ type: 'link', link: { state: 'reconnecting', sinceMs: this.#lostAtMs, reason } });
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
