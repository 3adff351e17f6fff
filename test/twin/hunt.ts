/** Hunts for a difference: random walks on all pairs at once until enough steps are made, shrunk when one is found. */
import fc from 'fast-check';
import { walks, type ClassName, type Walk } from './classes.js';
import { scriptOf } from './command.js';
import { Tally, compare } from './compare.js';
import { shrink } from './shrink.js';
import type { Pair, World } from './world.js';

export interface HuntOptions {
  readonly seed: number;
  readonly steps: number;
  readonly classes: readonly ClassName[];
  /** Of the walks of that seed, only this one. */
  readonly walk?: number;
  /** The first difference will do, however long the walk. */
  readonly unshrunk?: boolean;
  /** Walks that are under way come to their end; a counterexample is as short as it is by then. */
  readonly stop?: AbortSignal;
  readonly progress?: (tally: Tally) => void;
  /** Before it is shrunk. */
  readonly sighted?: (difference: string) => void;
}

export interface Hunt {
  readonly tally: Tally;
  /** What was walked to make a counterexample shorter. */
  readonly shrinking: Tally;
  /** The counterexample as a script, and how to try it again; null: no difference. */
  readonly found: string | null;
}

const WALKS_PER_SEED = 10;
const MAX_STEPS = 200;
/** How often a walk that showed a difference is walked again before it counts as one that seldom does. */
const TRIES_AGAIN = 5;

export const hunt = async ({ pairs }: World, options: HuntOptions): Promise<Hunt> => {
  const { steps, classes, unshrunk = false, stop, progress, sighted } = options;
  const tally = new Tally();
  const shrinking = new Tally();
  const arbitrary = fc.noBias(walks(classes, MAX_STEPS));
  let seed = options.seed;
  let found: string | null = null;

  const describe = async (walk: Walk, from: string, pair: Pair, seen: string): Promise<string> => {
    let why: string | null = null;
    for (let n = 0; n < TRIES_AGAIN && why === null && !stop?.aborted; n++)
      why = await differenceOf(walk, pair, shrinking);
    if (why === null) return `${from}\n-- seen once, and not again: ${seen}`;
    const shrunk = await shrink(walk, async (shorter) => {
      if (stop?.aborted) return false;
      const difference = await differenceOf(shorter, pair, shrinking);
      why = difference ?? why;
      return difference !== null;
    });
    return [
      from,
      `-- as ${walk.user}`,
      ...shrunk.steps.map(scriptOf),
      `-- ${why.replaceAll('\n', '\n-- ')}`,
    ].join('\n');
  };

  const worker = async (pair: Pair): Promise<void> => {
    const done = (): boolean => found !== null || tally.steps >= steps || stop?.aborted === true;
    while (!done()) {
      const own = seed++;
      for (const [i, walk] of fc.sample(arbitrary, { seed: own, numRuns: WALKS_PER_SEED }).entries()) {
        if (stop?.aborted || (options.walk !== undefined && options.walk !== i)) continue;
        const difference = await differenceOf(walk, pair, tally);
        progress?.(tally);
        if (difference === null) continue;
        const from = `-- npm run twin -- --seed ${own} --walk ${i} --classes ${classes.join(',')}`;
        sighted?.(`${from}\n${difference}`);
        found ??= unshrunk ? from : await describe(walk, from, pair, difference);
        return;
      }
      if (options.walk !== undefined) return;
    }
  };
  await Promise.all(pairs.slice(0, options.walk === undefined ? pairs.length : 1).map(worker));
  return { tally, shrinking, found };
};

/** Also when a session breaks down. */
const differenceOf = (walk: Walk, pair: Pair, tally: Tally): Promise<string | null> =>
  compare(walk, pair, tally).then(
    () => null,
    (error: Error) => error.message,
  );
