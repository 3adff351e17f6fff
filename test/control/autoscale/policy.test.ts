/** What `autoscale on` takes and refuses, and how decisions read. */
import { describe, expect, it } from 'vitest';
import { changed, DEFAULT_POLICY } from '../../../src/control/autoscale/policy.js';
import { lookEveryMs } from '../../../src/control/autoscale/sampler.js';
import { stayInWords, wishInWords } from '../../../src/control/autoscale/words.js';

const CPUS = { small: 1, medium: 2, large: 4, xlarge: 8 };

describe('a change', () => {
  it('leaves alone what it does not name', () => {
    const policy = changed({ ...DEFAULT_POLICY, max: 'large' }, { forMs: 5_000, queueAbove: null });
    expect(policy).toEqual({ ...DEFAULT_POLICY, max: 'large', forMs: 5_000, queueAbove: null });
    expect(changed(DEFAULT_POLICY, {})).toEqual(DEFAULT_POLICY);
  });

  it.each([
    [{ min: 'large', max: 'small' }, 'dbproxy autoscale on --min small --max large'],
    [{ cpuAbovePercent: 30 }, null],
    [{ cpuBelowPercent: 90 }, 'dbproxy autoscale on --cpu-above 80% --cpu-below 20%'],
    [{ cpuBelowPercent: 41 }, 'dbproxy autoscale on --cpu-above 80% --cpu-below 20%'],
    [{ cpuBelowPercent: 40 }, null],
    [{ cpuBelowPercent: 0 }, null],
    [{ forMs: 999 }, 'dbproxy autoscale on --for 30s'],
  ] as const)('%j: %s', (change, suggestion) => {
    // What is below the one threshold must stay below the other with half of the cpus.
    const low = 'cpuAbovePercent' in change ? { cpuBelowPercent: 15 } : {};
    const attempt = (): unknown => changed(DEFAULT_POLICY, { ...low, ...change });
    if (suggestion === null) expect(attempt()).toMatchObject(change);
    else {
      expect(attempt).toThrow(
        expect.objectContaining({ code: 'DBP_USAGE_AUTOSCALE', exitCode: 2, suggestions: [suggestion] }),
      );
    }
  });
});

it('looks often enough for the time that is asked for, and never all the time', () => {
  expect([1_000, 30_000, 600_000].map(lookEveryMs)).toEqual([250, 500, 1_000]);
});

describe('in words', () => {
  const cpu = { figure: 'cpu', threshold: 80, lowest: 131.2, mean: 143.4, highest: 160 } as const;
  const queue = { figure: 'queue', threshold: 4, lowest: 5, mean: 6.25, highest: 8 } as const;
  const up = { direction: 'up', to: 'medium', reasons: [cpu, queue] } as const;

  it('tells the figures', () => {
    expect(wishInWords('small', up, DEFAULT_POLICY, CPUS)).toBe(
      'small → medium: cpu 143 % of 1 cpu (131 to 160), above 80 %; 6.3 sessions wait for a cpu (5 to 8), above 4; for 30 s',
    );
    const down = { direction: 'down', to: 'small', reasons: [{ ...cpu, threshold: 20, mean: 3 }] } as const;
    expect(wishInWords('medium', down, DEFAULT_POLICY, CPUS)).toContain('cpu 3 % of 2 cpus');
    const bounds = { direction: 'up', to: 'medium', reasons: [] } as const;
    const policy = { ...DEFAULT_POLICY, min: 'medium' } as const;
    expect(wishInWords('small', bounds, policy, CPUS)).toBe(
      'small → medium: small is outside of medium to xlarge',
    );
  });

  it.each([
    ['cool-down', 'stays small, the cool-down goes on for 41 s: cpu'],
    ['busy', 'stays small, patch-7 is under way: cpu'],
    ['machine', 'stays small, a larger size would have no more than the 1 cpu of this machine: cpu'],
    ['bound', 'stays small, small is the largest size it may have: cpu'],
  ] as const)('tells why it stays: %s', (why, text) => {
    const now = { operation: 'patch-7', coolDownMs: 40_500 };
    expect(stayInWords('small', { ...up, why }, DEFAULT_POLICY, CPUS, now)).toContain(text);
  });
});
