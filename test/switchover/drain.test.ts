import fc from 'fast-check';
import { expect, test } from 'vitest';
import { pauseBefore } from '../../src/switchover/drain.js';
import { Stopwatch } from '../../src/switchover/stopwatch.js';

test('pauses grow from attempt to attempt, stay within their bounds and never beat in time', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 2, max: 60 }),
      fc.integer({ min: 1, max: 2_000 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (attempt, budget, random) => {
        const pause = pauseBefore(attempt, budget, random);
        expect(pause).toBeLessThanOrEqual(5_000);
        // Others are held for at most half of the time, and less with every attempt.
        expect(pause).toBeGreaterThanOrEqual(Math.min(budget, 2_500));
        expect(pauseBefore(attempt + 1, budget, random)).toBeGreaterThanOrEqual(pause);
      },
    ),
  );
  expect(pauseBefore(3, 250, 0)).not.toBe(pauseBefore(3, 250, 1));
});

test('the stopwatch adds up a step that is entered again, and gives every step', () => {
  let now = 0;
  const watch = new Stopwatch(() => now);
  expect(watch.current).toBeNull();
  watch.enter('drain');
  now = 5;
  watch.enter('fence');
  expect(watch.current).toBe('fence');
  now = 7;
  watch.enter('drain');
  now = 10.06;
  watch.stop();
  now = 99;
  const { drain, fence, ...others } = watch.times;
  expect({ drain, fence }).toEqual({ drain: 8.1, fence: 2 });
  expect(Object.values(others)).toEqual([0, 0, 0, 0, 0, 0]);
});
