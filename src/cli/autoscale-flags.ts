/** The policy of `autoscale on` as flags. What is not given stays as it was, so none has a default of its own. */
import type { AutoscalePolicy } from '../control/api.js';
import { durationFlag, percentFlag, sizeFlag, thresholdFlag } from './flags.js';

export const autoscaleFlags = {
  min: sizeFlag({ description: 'the smallest size (at first: small)' }),
  max: sizeFlag({ description: 'the largest size (at first: xlarge)' }),
  'cpu-above': percentFlag({
    description: 'a larger size when more of its cpus is used than this (at first: 80%)',
  }),
  'cpu-below': percentFlag({
    description:
      'a smaller size when less is used than this, and nothing else stands against it; 0%: never (at first: 20%)',
  }),
  'active-above': thresholdFlag({
    description: 'a larger size when more sessions than this are active for each of its cpus (at first: off)',
  }),
  'queue-above': thresholdFlag({
    description: 'a larger size when more sessions than this wait for a cpu (at first: 4)',
  }),
  for: durationFlag({ description: 'how long it has to be so, all the time (at first: 30s)' }),
  cooldown: durationFlag({ description: 'from one change of size to the next (at first: 5min)' }),
};

type Flags = {
  readonly [Name in keyof typeof autoscaleFlags]?:
    Awaited<ReturnType<(typeof autoscaleFlags)[Name]['parse']>> | undefined;
};

export function policyChangeOf(flags: Flags): Partial<AutoscalePolicy> {
  const change: { [Name in keyof AutoscalePolicy]?: AutoscalePolicy[Name] | undefined } = {
    min: flags.min,
    max: flags.max,
    cpuAbovePercent: flags['cpu-above'],
    cpuBelowPercent: flags['cpu-below'],
    activeAbove: flags['active-above'],
    queueAbove: flags['queue-above'],
    forMs: flags.for,
    cooldownMs: flags.cooldown,
  };
  const given = Object.entries(change).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given);
}
