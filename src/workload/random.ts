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

/** Uniform integer in [low, high], as pgbench's `random(low, high)`. A number has 32 bits: wider ranges take two. */
export function uniform(random: Random, low: number, high: number): number {
  const span = high - low + 1;
  const fraction = span <= 2 ** 32 ? random() : (Math.floor(random() * 2 ** 21) + random()) / 2 ** 21;
  return low + Math.floor(fraction * span);
}

/** Exponentially distributed with the given mean: the gap between two arrivals of a Poisson process. */
export const exponential = (random: Random, mean: number): number => -Math.log(1 - random()) * mean;

/**
 * pgbench's distributions (pgbench.c: getExponentialRand, getGaussianRand, computeIterativeZipfian), in [low, high].
 * `parameter`: of the exponential one greater than 0, of the Gaussian one at least 2, of Zipf's one greater than 1.
 */
export function exponentialInteger(random: Random, low: number, high: number, parameter: number): number {
  const cut = Math.exp(-parameter);
  const fraction = -Math.log(cut + (1 - cut) * (1 - random())) / parameter;
  return low + Math.floor((high - low + 1) * fraction);
}

export function gaussianInteger(random: Random, low: number, high: number, parameter: number): number {
  let deviation: number;
  do {
    deviation = Math.sqrt(-2 * Math.log(1 - random())) * Math.sin(2 * Math.PI * random());
  } while (deviation < -parameter || deviation >= parameter);
  return low + Math.floor(((high - low + 1) * (deviation + parameter)) / (parameter * 2));
}

export function zipfianInteger(random: Random, low: number, high: number, parameter: number): number {
  const n = high - low + 1;
  if (n <= 1) return low;
  // Luc Devroye, "Non-Uniform Random Variate Generation", page 551: rejection.
  const b = 2 ** (parameter - 1);
  for (;;) {
    const u = random();
    const v = random();
    const x = Math.floor(u ** (-1 / (parameter - 1)));
    const t = (1 + 1 / x) ** (parameter - 1);
    if ((v * x * (t - 1)) / (b - 1) <= t / b && x <= n) return low - 1 + x;
  }
}
