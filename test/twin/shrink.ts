/** Leaves out of a walk that shows a difference what it does not need: halves first, single steps at last. */
import type { Walk } from './classes.js';

export const shrink = async (walk: Walk, differs: (walk: Walk) => Promise<boolean>): Promise<Walk> => {
  let steps = walk.steps;
  for (let size = Math.ceil(steps.length / 2); size > 0; size = size > 1 ? Math.ceil(size / 2) : 0) {
    // From the end: what comes after the difference goes at once.
    for (let end = steps.length; end > 0; end -= size) {
      const left = [...steps.slice(0, Math.max(0, end - size)), ...steps.slice(end)];
      if (await differs({ ...walk, steps: left })) steps = left;
    }
  }
  return { ...walk, steps };
};
