/** The thread of an alarm: sleeps until it is due, says so, and waits for the next time. Ended from outside (alarm.ts). */
import { parentPort, workerData } from 'node:worker_threads';
import { monotonicOffsetMs, NEVER, type AlarmMemory } from './alarm-memory.js';

const { rings, due, sleepsUntil } = workerData as AlarmMemory;
const offsetMs = monotonicOffsetMs();

for (;;) {
  Atomics.store(sleepsUntil, 0, NEVER);
  const seen = Atomics.load(rings, 0);
  const dueUs = Atomics.load(due, 0);
  const leftMs = Number(dueUs) / 1000 - offsetMs - performance.now();
  if (leftMs <= 0) {
    // Unless there is another time by now.
    if (Atomics.compareExchange(due, 0, dueUs, NEVER) === dueUs) parentPort?.postMessage(null);
    continue;
  }
  Atomics.store(sleepsUntil, 0, dueUs);
  // Whoever changes it from here on sees that we sleep.
  if (Atomics.load(due, 0) === dueUs) Atomics.wait(rings, 0, seen, leftMs);
}
