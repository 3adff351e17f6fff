/** The decision as properties: bounds, cool-down, the whole time, no flapping. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  beyond,
  decide,
  type Cpus,
  type Decision,
  type Sample,
  type Situation,
} from '../../../src/control/autoscale/decide.js';
import { DEFAULT_POLICY } from '../../../src/control/autoscale/policy.js';
import type { AutoscalePolicy } from '../../../src/control/autoscale/types.js';
import { SIZE_NAMES, type SizeName } from '../../../src/engine/types.js';

const CPUS: Cpus = { small: 1, medium: 2, large: 4, xlarge: 8 };
const SAMPLE_MS = 1_000;

type Measured = Pick<Sample, 'cpuPercent' | 'active' | 'wantCpu'>;

const rank = (size: SizeName): number => SIZE_NAMES.indexOf(size);

/** One after the other, the last one ends at 0. */
const series = (values: readonly Measured[]): Sample[] =>
  values.map((value, index) => {
    const fromMs = (index - values.length) * SAMPLE_MS;
    return { ...value, fromMs, toMs: fromMs + SAMPLE_MS };
  });
const constant = (value: Measured, forMs: number): Sample[] =>
  series(Array.from({ length: Math.ceil(forMs / SAMPLE_MS) }, () => value));

const NOTHING: Measured = { cpuPercent: 0, active: 0, wantCpu: 0 };
const policyOf = (change: Partial<AutoscalePolicy> = {}): AutoscalePolicy => ({
  ...DEFAULT_POLICY,
  ...{ forMs: 3_000, cooldownMs: 10_000 },
  ...change,
});
const situation = (change: Partial<Situation> = {}): Situation => ({
  ...{ size: 'small', cpus: CPUS, samples: [], coolDownMs: 0, isBusy: false },
  ...change,
});

const size = fc.constantFrom(...SIZE_NAMES);
const threshold = fc.option(fc.double({ min: 0, max: 20, noNaN: true }), { nil: null });
/** Also those that `autoscale on` refuses: what is decided must be sound by itself. */
const anyPolicy: fc.Arbitrary<AutoscalePolicy> = fc
  .record({
    bounds: fc.tuple(size, size),
    cpuAbovePercent: fc.double({ min: 1, max: 200, noNaN: true }),
    cpuBelowPercent: fc.double({ min: 0, max: 200, noNaN: true }),
    activeAbove: threshold,
    queueAbove: threshold,
    forMs: fc.integer({ min: 1_000, max: 8_000 }),
    cooldownMs: fc.integer({ min: 1, max: 60_000 }),
  })
  .map(({ bounds: [a, b], ...rest }) => ({
    ...rest,
    ...(rank(a) <= rank(b) ? { min: a, max: b } : { min: b, max: a }),
  }));
const count = fc.option(fc.double({ min: 0, max: 64, noNaN: true }), { nil: null, freq: 9 });
const measured: fc.Arbitrary<Measured> = fc.record({
  cpuPercent: fc.option(fc.double({ min: 0, max: 1_600, noNaN: true }), { nil: null, freq: 9 }),
  ...{ active: count, wantCpu: count },
});
/** On machines with fewer cpus than sizes have, several sizes are equal. */
const machine = fc.constantFrom(1, 2, 3, 4, 8, 64).map((cpus) => {
  const capped = SIZE_NAMES.map((name) => [name, Math.min(CPUS[name], cpus)]);
  return Object.fromEntries(capped) as Cpus;
});
const anySituation: fc.Arbitrary<Situation> = fc.record({
  size,
  cpus: machine,
  samples: fc.oneof(
    fc.array(measured, { maxLength: 12 }).map(series),
    // Long enough for anything to be decided upon.
    measured.map((value) => constant(value, 12_000)),
  ),
  coolDownMs: fc.constantFrom(0, 1, 5_000),
  isBusy: fc.boolean(),
});

const isScale = (decision: Decision): decision is Extract<Decision, { kind: 'scale' }> =>
  decision.kind === 'scale';

describe('always', () => {
  it('never goes outside of the bounds, never where it is, and one size at a time within them', () => {
    fc.assert(
      fc.property(anyPolicy, anySituation, (policy, now) => {
        const decision = decide(policy, now);
        if (!isScale(decision)) return;
        const [from, to] = [rank(now.size), rank(decision.to)];
        expect(to).toBeGreaterThanOrEqual(rank(policy.min));
        expect(to).toBeLessThanOrEqual(rank(policy.max));
        expect(Math.sign(to - from)).toBe(decision.direction === 'up' ? 1 : -1);
        if (decision.reasons.length > 0) expect(Math.abs(to - from)).toBe(1);
      }),
      { numRuns: 2_000 },
    );
  });

  it('never acts within the cool-down, nor while an operation runs', () => {
    fc.assert(
      fc.property(anyPolicy, anySituation, (policy, now) => {
        if (isScale(decide(policy, now))) expect(now).toMatchObject({ coolDownMs: 0, isBusy: false });
      }),
      { numRuns: 2_000 },
    );
  });

  it('tells of every obstacle what would be decided without it', () => {
    fc.assert(
      fc.property(anyPolicy, anySituation, (policy, now) => {
        const decision = decide(policy, now);
        if (decision.kind !== 'stay' || decision.why === 'bound' || decision.why === 'machine') return;
        const free = decide(policy, { ...now, coolDownMs: 0, isBusy: false });
        expect(free).toMatchObject({ kind: 'scale', direction: decision.direction, to: decision.to });
      }),
      { numRuns: 2_000 },
    );
  });

  it('needs the whole time: one sample that is otherwise, or a gap, and it waits', () => {
    const other: Measured = { cpuPercent: null, active: null, wantCpu: null };
    const within = anyPolicy.chain((policy) =>
      fc.record({
        policy: fc.constant(policy),
        value: measured,
        at: fc.integer({ min: 0, max: Math.ceil(policy.forMs / SAMPLE_MS) - 1 }),
        isGap: fc.boolean(),
        size: size.filter((name) => rank(name) >= rank(policy.min) && rank(name) <= rank(policy.max)),
      }),
    );
    fc.assert(
      fc.property(within, ({ policy, value, at, isGap, ...now }) => {
        const samples = constant(value, 12_000);
        const broken =
          isGap && at > 0
            ? samples.filter((_, index) => index !== samples.length - 1 - at)
            : samples.map((sample, index) =>
                index === samples.length - 1 - at ? { ...sample, ...other } : sample,
              );
        expect(decide(policy, situation({ ...now, samples: broken })).kind).toBe('none');
      }),
      { numRuns: 2_000 },
    );
  });

  it('does not flap: a load that stays as it is has it go one way, and then rest', () => {
    fc.assert(
      fc.property(anyPolicy, size, machine, measured, (policy, start, cpus, value) => {
        const samples = constant(value, policy.forMs);
        const path: string[] = [];
        let at = start;
        for (let step = 0; step < 20; step++) {
          const decision = decide(policy, situation({ size: at, cpus, samples }));
          if (!isScale(decision)) break;
          if (decision.reasons.length > 0) path.push(decision.direction);
          at = decision.to;
        }
        expect(new Set(path).size).toBeLessThanOrEqual(1);
        expect(path.length).toBeLessThan(SIZE_NAMES.length);
      }),
      { numRuns: 5_000 },
    );
  });

  it('shows figures that are beyond their thresholds', () => {
    fc.assert(
      fc.property(anyPolicy, anySituation, (policy, now) => {
        const decision = decide(policy, now);
        if (decision.kind === 'none') return;
        for (const { threshold: limit, lowest, mean, highest } of decision.reasons) {
          expect(mean).toBeGreaterThanOrEqual(lowest - 1e-6);
          expect(mean).toBeLessThanOrEqual(highest + 1e-6);
          if (decision.direction === 'up') expect(lowest).toBeGreaterThan(limit);
          else expect(highest).toBeLessThanOrEqual(limit);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('up', () => {
  it.each([
    ['cpu', { cpuPercent: 161, active: 0, wantCpu: 0 }],
    ['active', { cpuPercent: 0, active: 17, wantCpu: 0 }],
    ['queue', { cpuPercent: 0, active: 0, wantCpu: 7 }],
  ])('by %s alone, once it was so for the whole time', (figure, value) => {
    const policy = policyOf({ activeAbove: 8, queueAbove: 4 });
    const now = situation({ size: 'medium' });
    expect(decide(policy, { ...now, samples: constant(value, 2_000) }).kind).toBe('none');
    const decision = decide(policy, { ...now, samples: constant(value, 3_000) });
    expect(decision).toMatchObject({ kind: 'scale', direction: 'up', to: 'large', reasons: [{ figure }] });
  });

  it('not by figures that are not looked at', () => {
    const value = { cpuPercent: 10, active: 60, wantCpu: 60 };
    const policy = policyOf({ activeAbove: null, queueAbove: null, cpuBelowPercent: 0 });
    expect(decide(policy, situation({ samples: constant(value, 9_000) })).kind).toBe('none');
  });

  it('not beyond the largest size, nor where a larger size has no more cpus', () => {
    const samples = constant({ cpuPercent: 700, active: 0, wantCpu: 0 }, 9_000);
    const policy = policyOf({ max: 'large' });
    expect(decide(policy, situation({ size: 'large', samples }))).toMatchObject({
      ...{ kind: 'stay', why: 'bound', to: null },
    });
    const cpus = { ...CPUS, large: 2, xlarge: 2 };
    expect(decide(policy, situation({ size: 'medium', samples, cpus }))).toMatchObject({
      ...{ kind: 'stay', why: 'machine', to: 'large' },
    });
  });
});

describe('down', () => {
  it('when the cpu was low for the whole time', () => {
    const samples = constant({ cpuPercent: 30, active: 1, wantCpu: 0.3 }, 3_000);
    expect(decide(policyOf(), situation({ size: 'medium', samples }))).toMatchObject({
      ...{ kind: 'scale', direction: 'down', to: 'small' },
      reasons: [
        { figure: 'cpu', threshold: 20, mean: 15 },
        { figure: 'queue', mean: 0 },
      ],
    });
  });

  it('not when more would wait for a cpu there than may', () => {
    const samples = constant({ cpuPercent: 10, active: 9, wantCpu: 5.5 }, 9_000);
    expect(decide(policyOf(), situation({ size: 'medium', samples })).kind).toBe('none');
  });

  it('rests at the smallest size, and says nothing of it', () => {
    expect(decide(policyOf(), situation({ samples: constant(NOTHING, 9_000) })).kind).toBe('none');
  });
});

describe('a size outside of the bounds', () => {
  it('is brought within at once, by as many sizes as it takes', () => {
    const policy = policyOf({ min: 'medium', max: 'large' });
    expect(decide(policy, situation({ size: 'small' }))).toMatchObject({ kind: 'scale', to: 'medium' });
    expect(decide(policy, situation({ size: 'xlarge' }))).toMatchObject({ kind: 'scale', to: 'large' });
    const oneCpu = { small: 1, medium: 1, large: 1, xlarge: 1 };
    expect(decide(policy, situation({ cpus: oneCpu }))).toMatchObject({ kind: 'scale', to: 'medium' });
    expect(decide(policy, situation({ coolDownMs: 5 }))).toMatchObject({ kind: 'stay', why: 'cool-down' });
  });
});

it('tells for how long something has been beyond', () => {
  const policy = policyOf();
  const high = constant({ cpuPercent: 190, active: 0, wantCpu: 0 }, 2_000);
  expect(beyond(policy, situation({ samples: high }))).toEqual({ direction: 'up', forMs: 2_000 });
  const low = constant(NOTHING, 4_000);
  expect(beyond(policy, situation({ size: 'large', samples: low }))).toEqual({
    ...{ direction: 'down', forMs: 4_000 },
  });
  expect(beyond(policy, situation({ samples: low }))).toBeNull();
});
