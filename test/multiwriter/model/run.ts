/** Runs of the model: a seed, or a list of choices, gives the same run for ever. */
import { seededRandom } from '../../../src/workload/random.js';
import { POLICIES, type Quorums } from '../../../src/multiwriter/protocol/index.js';
import { Violation } from './invariants.js';
import { type Choose, World, type WorldOptions } from './world.js';

/** The safe sizes of the design, smallest first. */
export const SAFE: readonly Quorums[] = [
  { nodes: 3, fast: 3, classic: 2 },
  { nodes: 3, fast: 2, classic: 3 },
  { nodes: 4, fast: 3, classic: 3 },
  { nodes: 5, fast: 4, classic: 3 },
  { nodes: 6, fast: 5, classic: 4 },
  { nodes: 6, fast: 4, classic: 5 },
];

export interface Result {
  readonly steps: number;
  readonly decided: number;
  readonly acknowledged: number;
  readonly violation: Violation | null;
}

export const chooseBy = (seed: number): Choose => {
  const random = seededRandom(seed);
  return (n) => Math.floor(random() * n);
};

/** What a world of this seed looks like: a quarter is the default one. */
export const worldOf = (choose: Choose): WorldOptions => ({
  quorums: SAFE[Math.max(0, choose(SAFE.length + 2) - 2)]!,
  writers: 2 + choose(2),
  keys: 1 + choose(4),
  policy: POLICIES[choose(POLICIES.length)]!,
});

/** As many steps as asked for, then rest. */
export const run = (options: WorldOptions, choose: Choose, steps: number): Result => {
  let done = 0;
  let world: World | null = null;
  try {
    world = new World(options, choose);
    for (; done < steps; done++) world.step();
    world.rest();
  } catch (error) {
    if (!(error instanceof Violation)) throw error;
    return { steps: done, ...counts(world), violation: error };
  }
  return { steps: done, ...counts(world), violation: null };
};

const counts = (world: World | null): Pick<Result, 'decided' | 'acknowledged'> => ({
  decided: world?.observer.decided ?? 0,
  acknowledged: world?.observer.acknowledged.size ?? 0,
});

export const runSeed = (seed: number, steps: number, overrides: Partial<WorldOptions> = {}): Result => {
  const choose = chooseBy(seed);
  return run({ ...worldOf(choose), ...overrides }, choose, steps);
};
