/** What an alarm and its thread share. Times are µs of the system's monotonic clock: performance.now() has a zero in each thread. */

export interface AlarmMemory {
  /** Changes when the thread is to look again at once. */
  readonly rings: Int32Array;
  readonly due: BigInt64Array;
  /** Until when the thread does not look by itself; NEVER while it is awake, so that it is woken rather once too often. */
  readonly sleepsUntil: BigInt64Array;
}

export const NEVER = 2n ** 62n;

/** Monotonic clock − performance.now(), ms. The smallest of some, as one may be interrupted in the middle. */
export function monotonicOffsetMs(): number {
  const once = (): number => {
    const nowMs = performance.now();
    return Number(process.hrtime.bigint()) / 1e6 - nowMs;
  };
  return Math.min(...Array.from({ length: 20 }, once));
}
