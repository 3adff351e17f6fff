/**
 * Seeded random numbers, so that a run can be repeated: the same arrivals and the same rows for the same seed.
 * Not for secrets.
 */

/** Uniform in [0, 1). */
export type Random = () => number;

/**
 * The generator sfc32 (Chris Doty-Humphrey's PractRand): 128 bits of state, integer operations only, some ns a number.
 * `stream` separates generators of one run that must not influence each other.
 */
export function seededRandom(seed: number, stream = 0): Random {
  let a = seed | 0;
  let b = Math.floor(seed / 2 ** 32) | 0;
  let c = stream | 0;
  let counter = 1;
  const next = (): number => {
    const t = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + t;
    return (t >>> 0) / 2 ** 32;
  };
  // Its author's advice: the first outputs still show the seed.
  for (let i = 0; i < 15; i++) next();
  return next;
}

/** Uniform integer in [low, high], as pgbench's `random(low, high)`. */
export const uniform = (random: Random, low: number, high: number): number =>
  low + Math.floor(random() * (high - low + 1));

/** Exponentially distributed with the given mean: the gap between two arrivals of a Poisson process. */
export const exponential = (random: Random, mean: number): number => -Math.log(1 - random()) * mean;
