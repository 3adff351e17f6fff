/** What `autoscale` is asked for, and what it answers: parts of the contract `dbproxy.autoscale/1`. */
import type { SizeName } from '../../engine/types.js';

/** When the size is to change by itself. CPU is in percent of the cpus that the size has: of one that has 2, 100 are both. */
export interface AutoscalePolicy {
  readonly min: SizeName;
  readonly max: SizeName;
  readonly cpuAbovePercent: number;
  /** 0: never down. */
  readonly cpuBelowPercent: number;
  /** Active sessions for each cpu; null: not looked at. */
  readonly activeAbove: number | null;
  /** Sessions that want a cpu, beyond those that have one; null: not looked at. */
  readonly queueAbove: number | null;
  /** How long all of it has to be so. */
  readonly forMs: number;
  /** From one change of size to the next. */
  readonly cooldownMs: number;
}

export type Direction = 'up' | 'down';
export type Figure = 'cpu' | 'active' | 'queue';

/** What a size makes of what was measured; null: it could not be measured. */
export interface Load {
  /** Of the size's cpus. */
  readonly cpuPercent: number | null;
  /** Sessions with a statement under way, for each cpu. */
  readonly activePerCpu: number | null;
  /** Sessions that want a cpu, beyond those that have one. */
  readonly queued: number | null;
}

/** A figure that was on one side of its threshold for the whole time. */
export interface Reason {
  readonly figure: Figure;
  readonly threshold: number;
  readonly lowest: number;
  readonly mean: number;
  readonly highest: number;
}

/** Why nothing is done although it should be. */
export type Obstacle =
  /** No size in this direction is within the bounds. */
  | 'bound'
  /** A larger size would have no more cpus here. */
  | 'machine'
  /** An operation is under way. */
  | 'busy'
  /** The last change, or the last attempt that failed, is not long enough ago. */
  | 'cool-down';

/** The last thing decided that was worth an event. */
export interface LastDecision {
  readonly at: string;
  readonly decision: 'scale' | 'stay';
  readonly direction: Direction;
  readonly from: SizeName;
  /** `stay`: where it would have gone; null: nowhere within the bounds. */
  readonly to: SizeName | null;
  readonly why: Obstacle | null;
  /** For people: the figures behind it. */
  readonly message: string;
  /** `scale`: how that ended; null: it is under way, or its supervisor died. */
  readonly outcome: 'completed' | 'rolled-back' | null;
}

/** `dbproxy.autoscale/1` */
export interface AutoscaleResult {
  readonly schema: 'dbproxy.autoscale/1';
  readonly instance: string;
  readonly enabled: boolean;
  readonly policy: AutoscalePolicy;
  /** Of the primary, and what this machine gives it. */
  readonly size: SizeName | null;
  readonly cpus: number | null;
  /** Of the last second or so; null: it is off, or has just begun to look. */
  readonly load: Load | null;
  /** For how long a figure has been beyond its threshold by now; null: none is. */
  readonly beyond: { readonly direction: Direction; readonly forMs: number } | null;
  /** How long the cool-down goes on; 0: it is over. */
  readonly coolDownMs: number;
  /** How many attempts in a row have failed: each one doubles the cool-down. */
  readonly failures: number;
  readonly last: LastDecision | null;
}

/** What `status` tells of it; null: it was never on. */
export type AutoscaleSummary = Pick<
  AutoscaleResult,
  'enabled' | 'load' | 'beyond' | 'coolDownMs' | 'failures'
> &
  Pick<AutoscalePolicy, 'min' | 'max' | 'forMs'>;
