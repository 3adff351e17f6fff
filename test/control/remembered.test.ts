/** What is dear to find out, for those who ask often. */
import { expect, it } from 'vitest';
import { Remembered } from '../../src/control/remembered.js';

const counter = (): { looks: () => number; remembered: Remembered<number> } => {
  let looks = 0;
  return { looks: () => looks, remembered: new Remembered(async () => ++looks) };
};

it('is looked at once for all who ask at the same time, and not again while it is fresh', async () => {
  const { looks, remembered } = counter();
  expect(await Promise.all([remembered.get(60_000), remembered.get(60_000)])).toEqual([1, 1]);
  expect(await remembered.get(60_000)).toBe(1);
  expect(looks()).toBe(1);
});

it('is looked at anew for who wants it of now', async () => {
  const { remembered } = counter();
  expect(await remembered.get(60_000)).toBe(1);
  expect(await remembered.get(0)).toBe(2);
  expect(await remembered.get(60_000)).toBe(2);
});

it('when it is too old, the last value is given at once, and the next is looked for', async () => {
  const { looks, remembered } = counter();
  expect(await remembered.get(0)).toBe(1);
  await new Promise((resolve) => setTimeout(resolve, 5));
  expect(await remembered.get(1)).toBe(1);
  expect(looks()).toBe(2);
});

it('a look that fails is told to who waits for it, and to nobody else', async () => {
  let fails = true;
  const remembered = new Remembered(async () => {
    if (fails) throw new Error('not now');
    return 7;
  });
  await expect(remembered.get(1_000)).rejects.toThrow('not now');
  fails = false;
  expect(await remembered.get(1_000)).toBe(7);
  fails = true;
  await new Promise((resolve) => setTimeout(resolve, 5));
  expect(await remembered.get(1)).toBe(7);
});
