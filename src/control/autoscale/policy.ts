/** The policy: its defaults, how one is changed, and what makes no sense. */
import { SIZE_NAMES } from '../../engine/types.js';
import { DbproxyError } from '../../errors/index.js';
import type { AutoscalePolicy } from './types.js';

export const DEFAULT_POLICY: AutoscalePolicy = {
  min: 'small',
  max: 'xlarge',
  cpuAbovePercent: 80,
  cpuBelowPercent: 20,
  activeAbove: null,
  queueAbove: 4,
  forMs: 30_000,
  cooldownMs: 300_000,
};

/** A sample takes a second; less than one says nothing. */
export const SHORTEST_FOR_MS = 1_000;

/** What is not named stays as it was. Throws DBP_USAGE_AUTOSCALE. */
export function changed(before: AutoscalePolicy, change: Partial<AutoscalePolicy>): AutoscalePolicy {
  const policy = { ...before, ...change };
  const problem = problemOf(policy);
  if (problem) throw new DbproxyError('DBP_USAGE_AUTOSCALE', problem);
  return policy;
}

function problemOf(policy: AutoscalePolicy): { reason: string; fix: string } | null {
  const { min, max, cpuAbovePercent: above, cpuBelowPercent: below, forMs } = policy;
  if (SIZE_NAMES.indexOf(min) > SIZE_NAMES.indexOf(max)) {
    return {
      reason: `--min ${min} is larger than --max ${max}`,
      fix: `--min ${max} --max ${min}`,
    };
  }
  // A smaller size has half of the cpus: what is below here would be above there, and it would go up again.
  if (below > above / 2) {
    return {
      reason:
        `--cpu-below ${below}% is more than half of --cpu-above ${above}%: what uses that much would use twice as much of the ` +
        'next smaller size, and have it grow again',
      fix: `--cpu-above ${above}% --cpu-below ${Math.floor(above / 4)}%`,
    };
  }
  if (forMs < SHORTEST_FOR_MS) {
    return { reason: `--for ${forMs}ms is too short to measure anything`, fix: '--for 30s' };
  }
  return null;
}
