/** `autoscale: { max: large, queueAbove: 2, for: 3s }`, `autoscale: { off: true }` */
import { policyChangeOf } from '../file/policy-change.js';
import { ask } from '../stage.js';
import type { RunStep } from './index.js';

export const autoscale: RunStep<'autoscale'> = async ({ autoscale: given }, { stage }) => {
  if (given.off) {
    await ask(stage, 'autoscaleOff', {});
    return { ok: true, detail: 'off' };
  }
  const { policy } = await ask(stage, 'autoscaleOn', policyChangeOf(given));
  return { ok: true, detail: `on, ${policy.min} to ${policy.max}` };
};
