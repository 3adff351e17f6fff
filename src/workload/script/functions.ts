/**
 * The functions of `\set` (PostgreSQL manual, pgbench, "Built-In Functions"). Types are known before anything runs: an
 * integer stays one, as it decides what `/` means and how a value is written into a statement.
 */
import { exponentialInteger, gaussianInteger, uniform, zipfianInteger, type Random } from '../random.js';

export type NumberType = 'integer' | 'double';

export interface FunctionEntry {
  /** How many arguments: at least, at most. */
  readonly arity: readonly [min: number, max: number];
  /** `same`: double when one of the arguments is one. */
  readonly type: NumberType | 'same';
  /** True: arguments are rounded to integers before, as pgbench's coerceToInt does. */
  readonly wantsIntegers?: boolean;
  /** Throws a sentence when the arguments make no sense. */
  readonly apply: (args: readonly number[], random: Random) => number;
}

const one = (type: FunctionEntry['type'], apply: (x: number) => number): FunctionEntry => ({
  arity: [1, 1],
  type,
  apply: ([x = NaN]) => apply(x),
});
const power: FunctionEntry = { arity: [2, 2], type: 'double', apply: ([x = NaN, y = NaN]) => x ** y };

export const functions: Readonly<Record<string, FunctionEntry>> = {
  abs: one('same', Math.abs),
  double: one('double', (x) => x),
  exp: one('double', Math.exp),
  greatest: { arity: [1, 255], type: 'same', apply: (args) => Math.max(...args) },
  int: one('integer', roundHalfEven),
  least: { arity: [1, 255], type: 'same', apply: (args) => Math.min(...args) },
  ln: one('double', Math.log),
  mod: {
    arity: [2, 2],
    type: 'integer',
    wantsIntegers: true,
    apply: ([a = NaN, b = NaN]) => remainder(a, b),
  },
  pi: { arity: [0, 0], type: 'double', apply: () => Math.PI },
  pow: power,
  power,
  random: {
    arity: [2, 2],
    type: 'integer',
    wantsIntegers: true,
    apply: ([low = NaN, high = NaN], random) => {
      assertRange('random', low, high);
      return uniform(random, low, high);
    },
  },
  random_exponential: distribution('random_exponential', exponentialInteger, (p) =>
    p > 0 ? '' : 'must be greater than 0',
  ),
  random_gaussian: distribution('random_gaussian', gaussianInteger, (p) =>
    p >= 2 ? '' : 'must be at least 2',
  ),
  random_zipfian: distribution('random_zipfian', zipfianInteger, (p) =>
    p >= 1.001 && p <= 1000 ? '' : 'must be between 1.001 and 1000',
  ),
  sqrt: one('double', Math.sqrt),
};

/** What pgbench has besides. */
export const FUNCTIONS_OF_PGBENCH = ['debug', 'hash', 'hash_fnv1a', 'hash_murmur2', 'permute'];

function distribution(
  name: string,
  draw: (random: Random, low: number, high: number, parameter: number) => number,
  complaint: (parameter: number) => string,
): FunctionEntry {
  return {
    arity: [3, 3],
    type: 'integer',
    apply: ([lowArg = NaN, highArg = NaN, parameter = NaN], random) => {
      const [low, high] = [roundHalfEven(lowArg), roundHalfEven(highArg)];
      assertRange(name, low, high);
      const problem = complaint(parameter);
      if (problem !== '') throw new RangeError(`the parameter of ${name} ${problem}, not ${parameter}`);
      return draw(random, low, high, parameter);
    },
  };
}

function assertRange(name: string, low: number, high: number): void {
  if (low > high) throw new RangeError(`${name} has nothing to choose from: ${low} is greater than ${high}`);
}

/** C's rint, which pgbench rounds with. */
export function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  if (x - floor !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}

export function remainder(a: number, b: number): number {
  if (b === 0) throw new RangeError('division by zero');
  return a % b;
}
