/**
 * The decision, and nothing else: what was measured, the policy, and where things stand → up, down, or why not.
 *
 *   up      one figure was above its threshold for the whole time
 *   down    every figure was low for the whole time: the CPU below its threshold, and on the smaller size, which has fewer cpus,
 *           nothing would be above one. So a load that stays as it is never has it go up and down
 *   bounds  a size outside of them is brought within
 *
 * One size at a time: what the next one makes of the load is measured there.
 */
import { SIZE_NAMES, type SizeName } from '../../engine/types.js';
import type { AutoscalePolicy, Direction, Figure, Load, Obstacle, Reason } from './types.js';

/** Of an engine, over some time. */
export interface Sample {
  readonly fromMs: number;
  readonly toMs: number;
  /** 100: one core. */
  readonly cpuPercent: number | null;
  /** Sessions with a statement under way. */
  readonly active: number | null;
  /** Those of them that wait for nothing but a cpu, or have one. */
  readonly wantCpu: number | null;
}

export type Cpus = Readonly<Record<SizeName, number>>;

export interface Situation {
  readonly size: SizeName;
  /** What each size has on this machine. */
  readonly cpus: Cpus;
  /** Of the engine that serves now, oldest first, one after the other. */
  readonly samples: readonly Sample[];
  /** What is left of the cool-down. */
  readonly coolDownMs: number;
  readonly isBusy: boolean;
}

export interface Wish {
  readonly direction: Direction;
  /** Null: no size in this direction is within the bounds. */
  readonly to: SizeName | null;
  /** Empty: the size is outside of the bounds. */
  readonly reasons: readonly Reason[];
}

export type Decision =
  | { readonly kind: 'none' }
  | (Wish & { readonly kind: 'scale'; readonly to: SizeName })
  | (Wish & { readonly kind: 'stay'; readonly why: Obstacle });

/** What the smaller size is to have to spare of the thresholds of counts, which flicker. */
const ROOM = 0.75;

export function decide(policy: AutoscalePolicy, situation: Situation): Decision {
  const wish = outside(policy, situation) ?? high(policy, situation) ?? low(policy, situation);
  if (wish === null) return { kind: 'none' };
  const { to } = wish;
  if (to === null) return { ...wish, kind: 'stay', why: 'bound' };
  const why = obstacleOf(wish.reasons, to, situation);
  return why === null ? { ...wish, kind: 'scale', to } : { ...wish, kind: 'stay', why };
}

function obstacleOf(
  reasons: readonly Reason[],
  to: SizeName,
  { size, cpus, isBusy, coolDownMs }: Situation,
): Obstacle | null {
  const isLarger = SIZE_NAMES.indexOf(to) > SIZE_NAMES.indexOf(size);
  if (reasons.length > 0 && isLarger && cpus[to] <= cpus[size]) return 'machine';
  if (isBusy) return 'busy';
  return coolDownMs > 0 ? 'cool-down' : null;
}

function outside({ min, max }: AutoscalePolicy, { size }: Situation): Wish | null {
  const [at, from, to] = [size, min, max].map((name) => SIZE_NAMES.indexOf(name)) as [number, number, number];
  if (at < from) return { direction: 'up', to: min, reasons: [] };
  if (at > to) return { direction: 'down', to: max, reasons: [] };
  return null;
}

function high(policy: AutoscalePolicy, { size, cpus, samples }: Situation): Wish | null {
  const reasons = figuresOf(policy).flatMap((figure) => {
    const run = trailing(samples, (sample) => isHigh(figure, loadOf(sample, cpus[size])));
    return spanOf(run) >= policy.forMs ? reasonOf(figure, run, cpus[size]) : [];
  });
  return reasons.length === 0 ? null : { direction: 'up', to: neighbour(size, 1, policy), reasons };
}

/** At the lower bound it rests: nothing to wish for. */
function low(policy: AutoscalePolicy, { size, cpus, samples }: Situation): Wish | null {
  const to = neighbour(size, -1, policy);
  if (to === null) return null;
  const run = trailing(samples, (sample) => isLow(policy, sample, cpus[size], cpus[to]));
  if (spanOf(run) < policy.forMs) return null;
  const below = { figure: 'cpu', above: policy.cpuBelowPercent } as const;
  const counts = figuresOf(policy).filter(({ figure }) => figure !== 'cpu');
  const reasons = [below, ...counts].flatMap((figure) => reasonOf(figure, run, cpus[size]));
  return { direction: 'down', to, reasons };
}

/** For how long, up to now, something has been beyond a threshold. */
export function beyond(
  policy: AutoscalePolicy,
  { size, cpus, samples }: Pick<Situation, 'size' | 'cpus' | 'samples'>,
): { direction: Direction; forMs: number } | null {
  const spans = figuresOf(policy).map((figure) =>
    spanOf(trailing(samples, (sample) => isHigh(figure, loadOf(sample, cpus[size])))),
  );
  const upMs = Math.max(...spans);
  if (upMs > 0) return { direction: 'up', forMs: upMs };
  const to = neighbour(size, -1, policy);
  if (to === null) return null;
  const downMs = spanOf(trailing(samples, (sample) => isLow(policy, sample, cpus[size], cpus[to])));
  return downMs > 0 ? { direction: 'down', forMs: downMs } : null;
}

/** What so many cpus make of a sample. */
export function loadOf({ cpuPercent, active, wantCpu }: Sample, cpus: number): Load {
  return {
    cpuPercent: cpuPercent === null ? null : cpuPercent / cpus,
    activePerCpu: active === null ? null : active / cpus,
    queued: wantCpu === null ? null : Math.max(0, wantCpu - cpus),
  };
}

interface Threshold {
  readonly figure: Figure;
  readonly above: number;
}

/** Those that the policy looks at. */
function figuresOf({ cpuAbovePercent, activeAbove, queueAbove }: AutoscalePolicy): Threshold[] {
  const all: [Figure, number | null][] = [
    ['cpu', cpuAbovePercent],
    ['active', activeAbove],
    ['queue', queueAbove],
  ];
  return all.flatMap(([figure, above]) => (above === null ? [] : { figure, above }));
}

const VALUE_OF: Readonly<Record<Figure, keyof Load>> = {
  cpu: 'cpuPercent',
  active: 'activePerCpu',
  queue: 'queued',
};

/** What could not be measured is neither high nor low. */
function isHigh({ figure, above }: Threshold, load: Load): boolean {
  const value = load[VALUE_OF[figure]];
  return value !== null && value > above;
}

function isLow(policy: AutoscalePolicy, sample: Sample, cpus: number, fewerCpus: number): boolean {
  const { cpuPercent } = loadOf(sample, cpus);
  if (cpuPercent === null || cpuPercent >= policy.cpuBelowPercent) return false;
  const there = loadOf(sample, fewerCpus);
  return figuresOf(policy).every(({ figure, above }) => {
    const value = there[VALUE_OF[figure]];
    return value !== null && value <= (figure === 'cpu' ? above : above * ROOM);
  });
}

/** The newest samples without a gap that all pass. */
function trailing(samples: readonly Sample[], passes: (sample: Sample) => boolean): readonly Sample[] {
  let first = samples.length;
  for (let next = samples.at(-1)?.toMs ?? 0; first > 0; first--) {
    const sample = samples[first - 1];
    if (!sample || sample.toMs < next || !passes(sample)) break;
    next = sample.fromMs;
  }
  return samples.slice(first);
}

const spanOf = (run: readonly Sample[]): number => (run.at(-1)?.toMs ?? 0) - (run[0]?.fromMs ?? 0);

/** Weighted by the time of each sample. */
function reasonOf({ figure, above }: Threshold, run: readonly Sample[], cpus: number): Reason {
  const values = run.map((sample) => ({
    ms: sample.toMs - sample.fromMs,
    value: loadOf(sample, cpus)[VALUE_OF[figure]] ?? 0,
  }));
  const sum = values.reduce((total, { ms, value }) => total + ms * value, 0);
  const all = values.map(({ value }) => value);
  return {
    figure,
    threshold: above,
    lowest: Math.min(...all),
    mean: sum / spanOf(run),
    highest: Math.max(...all),
  };
}

function neighbour(size: SizeName, step: 1 | -1, { min, max }: AutoscalePolicy): SizeName | null {
  const at = SIZE_NAMES.indexOf(size) + step;
  const isWithin = at >= SIZE_NAMES.indexOf(min) && at <= SIZE_NAMES.indexOf(max);
  return (isWithin ? SIZE_NAMES[at] : undefined) ?? null;
}
