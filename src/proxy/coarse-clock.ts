/** Time for the data path, where nobody needs it exact: reading a number costs nothing, asking the system 100 ns. */

/** Resolution, ms. */
const TICK_MS = 50;

let now = performance.now();
setInterval(() => (now = performance.now()), TICK_MS).unref();

/** ms, monotonic, at most a tick old. */
export const coarseNow = (): number => now;
