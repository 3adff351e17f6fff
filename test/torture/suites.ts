/** What every suite is: something that runs on a leg and says, test by test, how each came out. */
import type { Leg } from './leg.js';

/** Of a test that was cut off. */
export const NO_END = 'no end';

/** By test: `pass`, `fail`, `skip`, NO_END, or all that it printed. */
export type Outcomes = ReadonlyMap<string, string>;

/** A difference that is right, and why. Lines that differ have to match, each for itself. */
export interface Known {
  readonly test: string;
  readonly straight: RegExp;
  readonly tortured: RegExp;
  readonly why: string;
}

export interface Suite {
  readonly name: string;
  /** Of what is run. */
  readonly version: string;
  /** Of a strike at a safe point, if no other is asked for: such that a leg ends well within its bound. */
  readonly probability: number;
  readonly run: (leg: Leg) => Promise<Outcomes>;
  /** Only these, again and again; all that came of one, if not always the same. Absent: they build upon each other. */
  readonly repeat?: (leg: Leg, tests: readonly string[]) => Promise<Outcomes>;
  readonly known: readonly Known[];
}
