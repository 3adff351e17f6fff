/**
 * The protocol under random schedules: every invariant at every step, and every mutant noticed. A short seed; the night's is
 * `npm run model`.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Violation } from './invariants.js';
import { MUTANTS } from './mutants.js';
import { chooseBy, run, runSeed, SAFE, worldOf } from './run.js';
import type { Choose } from './world.js';

const SEED = 20_261_124;
const STEPS = 1_500;
/** Rare mistakes take some hundred worlds; all of them together some seconds. */
const MAX_WORLDS = 3_000;

describe('every invariant holds', () => {
  it('in 80 worlds of one seed', () => {
    const tally = { decided: 0, acknowledged: 0 };
    for (let seed = SEED; seed < SEED + 80; seed++) {
      const { violation, decided, acknowledged } = runSeed(seed, STEPS);
      expect(violation, `seed ${seed}`).toBeNull();
      tally.decided += decided;
      tally.acknowledged += acknowledged;
    }
    // Worlds in which nothing happens prove nothing.
    expect(tally.decided).toBeGreaterThan(250);
    expect(tally.acknowledged).toBeGreaterThan(120);
  });

  it.each(SAFE)('with %o', (quorums) => {
    for (let seed = SEED; seed < SEED + 10; seed++) {
      expect(runSeed(seed, STEPS, { quorums }).violation, `seed ${seed}`).toBeNull();
    }
  });

  // An old base is no reason against what its writer may have acknowledged.
  it.each([5_016, 20_261_428])('with seed %i, which once broke one', (seed) => {
    expect(runSeed(seed, STEPS).violation).toBeNull();
  });

  it('whatever fast-check chooses', () => {
    const choices = fc.array(fc.nat(), { minLength: 500, maxLength: 4_000, size: 'max' });
    fc.assert(
      fc.property(choices, (list) => {
        const choose = chooseFrom(list);
        const { violation } = run(worldOf(choose), choose, list.length / 4);
        if (violation) throw violation;
      }),
      { seed: SEED, numRuns: 60 },
    );
  });
});

describe('a mistake is noticed:', () => {
  it.each(MUTANTS)('$name', ({ options, breaks }) => {
    let found: Violation | null = null;
    for (let seed = 1; seed <= MAX_WORLDS && !found; seed++) {
      const { violation } = runSeed(seed, STEPS, options);
      if (violation && breaks.includes(violation.invariant)) found = violation;
    }
    expect(found).toBeInstanceOf(Violation);
  });

  it('and without it those worlds are fine', () => {
    for (const { options } of MUTANTS) {
      const {
        rules: _rules,
        survives: _survives,
        epochOf: _epochOf,
        quorums: _quorums,
        ...weather
      } = options;
      for (let seed = 1; seed <= 5; seed++) {
        expect(runSeed(seed, STEPS, weather).violation, `seed ${seed}`).toBeNull();
      }
    }
  });
});

it('a seed repeats a run', () => {
  const first = runSeed(SEED, STEPS);
  expect(runSeed(SEED, STEPS)).toEqual(first);
  const choose = chooseBy(SEED);
  expect(run(worldOf(choose), choose, STEPS)).toEqual(first);
});

/** The list, and then whatever comes first. */
const chooseFrom = (list: readonly number[]): Choose => {
  let next = 0;
  return (n) => (list[next++] ?? 0) % n;
};
