/** Hunts for a difference: random walks on all pairs at once until enough steps are made, shrunk when one is found. */
import fc from 'fast-check';
import { walks, type ClassName, type Walk } from './classes.js';
import { scriptOf } from './command.js';
import { Tally, compare } from './compare.js';
import type { World } from './world.js';

export interface HuntOptions {
  readonly seed: number;
  readonly steps: number;
  readonly classes: readonly ClassName[];
  /** Of one walk. */
  readonly maxSteps?: number;
  /** Of a counterexample, as it was printed: only that one is tried. */
  readonly path?: string;
  /** The first difference will do, however long the walk. */
  readonly unshrunk?: boolean;
  readonly progress?: (tally: Tally) => void;
}

export interface Hunt {
  readonly tally: Tally;
  /** The counterexample as a script, and how to try it again; null: no difference. */
  readonly found: string | null;
}

const WALKS_PER_SEED = 20;

export const hunt = async (
  { pairs }: World,
  { seed, steps, classes, maxSteps = 80, path, unshrunk = false, progress }: HuntOptions,
): Promise<Hunt> => {
  const tally = new Tally();
  const arbitrary = fc.noBias(walks(classes, maxSteps));
  let next = seed;
  let found: string | null = null;
  const worker = async (pair: (typeof pairs)[number]): Promise<void> => {
    while (found === null && tally.steps < steps) {
      const property = fc.asyncProperty(arbitrary, (walk) => compare(walk, pair, tally));
      const run = await fc.check(property, {
        seed: next++,
        numRuns: WALKS_PER_SEED,
        endOnFailure: unshrunk,
        ...(path === undefined ? {} : { path }),
      });
      if (run.failed && run.counterexample)
        found ??= describe(run.counterexample[0], run.errorInstance, run.seed, run.counterexamplePath);
      progress?.(tally);
      if (path !== undefined) return;
    }
  };
  await Promise.all(pairs.slice(0, path === undefined ? pairs.length : 1).map(worker));
  return { tally, found };
};

const describe = ({ user, steps }: Walk, error: unknown, seed: number, path: string | null): string =>
  [
    `-- npm run twin -- --seed ${seed} --path ${path ?? ''}`,
    `-- as ${user}`,
    ...steps.map(scriptOf),
    `-- ${error instanceof Error ? error.message.replaceAll('\n', '\n-- ') : String(error)}`,
  ].join('\n');
