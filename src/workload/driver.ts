/**
 * Gives the clients their transactions: a closed loop (each as fast as it can) or an open one (when an arrival is due).
 *
 *   open:  arrivals ──due──▶ first idle client ──▶ call ──▶ recorder      latency counts from the arrival's time
 *   closed:                   idle client ────────▶ call ──▶ recorder
 *
 * In the open loop a call that waits for a free client is late because of the database and its latency says so; a call
 * that is sent late although a client was free is late because of us: that is the schedule lag, which can make a run invalid.
 */
import type { Alarm } from './alarm.js';
import type { Arrivals } from './arrivals.js';
import type { CallEnd, LoadClient } from './client.js';
import type { Recorder } from './recorder.js';

/** After the end, what is due is still run for so long. */
export const DRAIN_BOUND_MS = 10_000;
const LOOK_MS = 1_000;

/** When transactions are due, and who wakes us then. */
export interface OpenLoop {
  readonly arrivals: Arrivals;
  readonly alarm: Pick<Alarm, 'at'>;
}

export class Driver {
  readonly #recorder: Recorder;
  readonly #arrivals: Arrivals | null;
  readonly #alarm: OpenLoop['alarm'] | null;
  /** What the alarm was set to last. */
  #alarmMs = -Infinity;
  readonly #idle: LoadClient[] = [];
  #stopAtMs: number;
  #busy = 0;
  #alive = 0;
  #finish: () => void = () => {};
  #fail: (error: unknown) => void = () => {};
  #finished = false;
  #overdueMs: number | undefined;

  /** `open`: null for a closed loop. `stopAtMs`: performance.now() from which on nothing new is due. */
  constructor(recorder: Recorder, open: OpenLoop | null, stopAtMs: number) {
    this.#recorder = recorder;
    this.#arrivals = open?.arrivals ?? null;
    this.#alarm = open?.alarm ?? null;
    this.#stopAtMs = stopAtMs;
  }

  get stopAtMs(): number {
    return this.#stopAtMs;
  }

  /** Ends early: nothing is due from now on. */
  stop(): void {
    this.#stopAtMs = Math.min(this.#stopAtMs, performance.now());
    this.#pump();
  }

  /** Of the open loop: something may be due. */
  wake(): void {
    this.#pump();
  }

  clientIdle(client: LoadClient): void {
    this.#idle.push(client);
    this.#pump(client.idleSinceMs);
  }

  clientEnded(client: LoadClient, end: CallEnd, doneMs: number): void {
    this.#busy--;
    const { intendedMs, sentMs } = client;
    const call = { intendedMs, sentMs, doneMs, end };
    if (this.#finished) this.#recorder.recordUnfinished(call);
    else this.#recorder.record(call);
  }

  /** It lost its connection, perhaps while it was idle; `clientIdle` comes when it has a new one. */
  clientLost(client: LoadClient): void {
    const index = this.#idle.indexOf(client);
    if (index >= 0) this.#idle.splice(index, 1);
    this.#pump();
  }

  /** Ends the run with an error. */
  fail(error: unknown): void {
    this.#fail(error);
  }

  clientGone(): void {
    this.#alive--;
    this.#pump();
  }

  /** Resolves when everything due has been answered, or the bound after the end has run out, or every client is gone. */
  async run(clients: readonly LoadClient[]): Promise<void> {
    this.#alive = clients.length;
    this.#idle.push(...clients);
    const finished = new Promise<void>((resolve, reject) => {
      this.#finish = resolve;
      this.#fail = reject;
    });
    const bound = this.#atBound();
    this.#pump();
    await finished.finally(() => {
      this.#finished = true;
      clearTimeout(bound.timer);
    });
  }

  /** How long the oldest call that was due had been waiting for a client when the run's time was over. */
  get overdueMs(): number {
    return this.#overdueMs ?? 0;
  }

  /** Due in the run, never begun. */
  notBegun(): number {
    let count = 0;
    if (this.#arrivals) for (; this.#arrivals.peek() < this.#stopAtMs; this.#arrivals.take()) count++;
    return count;
  }

  #pump(now = performance.now()): void {
    if (this.#finished) return;
    if (this.#arrivals && now >= this.#stopAtMs)
      this.#overdueMs ??= Math.max(this.#stopAtMs - this.#arrivals.peek(), 0);
    while (this.#idle.length > 0) {
      const intendedMs = this.#arrivals ? this.#arrivals.peek() : now;
      if (intendedMs >= this.#stopAtMs || intendedMs > now) break;
      this.#arrivals?.take();
      this.#start(this.#idle.shift() as LoadClient, intendedMs, now);
    }
    if (this.#idle.length > 0) this.#wakeAtNext();
    if (this.#isDone(now)) this.#finish();
  }

  #start(client: LoadClient, intendedMs: number, now: number): void {
    this.#busy++;
    let sentMs = now;
    if (this.#arrivals) {
      sentMs = performance.now();
      this.#recorder.lagged(sentMs - Math.max(intendedMs, client.idleSinceMs), intendedMs);
    }
    client.run(intendedMs, sentMs);
  }

  /** Only for an arrival that a free client waits for; a busy one looks by itself when it becomes idle. */
  #wakeAtNext(): void {
    const dueMs = this.#arrivals?.peek() ?? Infinity;
    if (dueMs >= this.#stopAtMs || dueMs === this.#alarmMs) return;
    this.#alarmMs = dueMs;
    this.#alarm?.at(dueMs);
  }

  #isDone(now: number): boolean {
    if (this.#alive === 0 && this.#busy === 0) return true;
    if (now < this.#stopAtMs || this.#busy > 0) return false;
    return !this.#arrivals || this.#arrivals.peek() >= this.#stopAtMs;
  }

  /** Looks when the time is over, and every now and then, whatever the clients do. */
  #atBound(): { timer: NodeJS.Timeout | undefined } {
    const bound: { timer: NodeJS.Timeout | undefined } = { timer: undefined };
    const look = (): void => {
      const now = performance.now();
      const leftMs = this.#stopAtMs + DRAIN_BOUND_MS - now;
      if (leftMs <= 0) return this.#finish();
      this.#pump(now);
      const overInMs = this.#stopAtMs - now;
      const delayMs = Math.min(leftMs, overInMs > 0 ? overInMs : Infinity, LOOK_MS);
      bound.timer = setTimeout(look, Math.max(Math.ceil(delayMs), 1));
    };
    look();
    return bound;
  }
}
