/**
 * Wakes at a time, to some 0.1 ms. Node's own timers tick by the millisecond: arrivals of an open loop would begin together
 * and wait for one another, which the schedule does not have them do.
 *
 *   at(due) ──▶ shared memory ──▶ a thread that sleeps until then (alarm-thread.ts) ──▶ a message ──▶ onDue
 *
 * A time that has not come yet is replaced by the next. Mostly that is a later one, for which nobody is woken: the thread
 * looks again before it rings.
 */
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { monotonicOffsetMs, NEVER, type AlarmMemory } from './alarm-memory.js';

/** From src/workload as from dist/workload this is the built thread. */
const THREAD = fileURLToPath(new URL('../../dist/workload/alarm-thread.js', import.meta.url));

export class Alarm {
  readonly #memory: AlarmMemory;
  readonly #thread: Worker;
  readonly #offsetMs = monotonicOffsetMs();

  private constructor(memory: AlarmMemory, thread: Worker, onDue: () => void) {
    this.#memory = memory;
    this.#thread = thread;
    thread.on('message', onDue);
  }

  /** Resolves when it can be used. */
  static async start(onDue: () => void): Promise<Alarm> {
    const memory: AlarmMemory = {
      rings: new Int32Array(new SharedArrayBuffer(4)),
      due: new BigInt64Array(new SharedArrayBuffer(8)).fill(NEVER),
      sleepsUntil: new BigInt64Array(new SharedArrayBuffer(8)).fill(NEVER),
    };
    const thread = new Worker(THREAD, { workerData: memory, execArgv: [] });
    await new Promise((resolve, reject) => thread.once('online', resolve).once('error', reject));
    return new Alarm(memory, thread, onDue);
  }

  /** `dueMs`: performance.now(). */
  at(dueMs: number): void {
    const { due, rings, sleepsUntil } = this.#memory;
    const dueUs = BigInt(Math.round((dueMs + this.#offsetMs) * 1000));
    Atomics.store(due, 0, dueUs);
    if (dueUs >= Atomics.load(sleepsUntil, 0)) return;
    Atomics.add(rings, 0, 1);
    Atomics.notify(rings, 0);
  }

  async stop(): Promise<void> {
    await this.#thread.terminate();
  }
}
