/** `autoscale` of a step as the supervisor takes it: what is not named stays as it is. */
import type { AutoscalePolicy } from '../../control/api.js';
import type { AutoscaleFile } from './schema.js';

export function policyChangeOf(given: AutoscaleFile): Partial<AutoscalePolicy> {
  const change = {
    ...{ min: given.min, max: given.max, forMs: given.for, cooldownMs: given.cooldown },
    ...{ cpuAbovePercent: given.cpuAbove, cpuBelowPercent: given.cpuBelow },
    ...{ activeAbove: given.activeAbove, queueAbove: given.queueAbove },
  };
  return Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined));
}
