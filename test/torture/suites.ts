/** What every suite is: something that runs on a leg and says, test by test, how each came out. */
import type { Leg } from './leg.js';

/** By test: `pass`, `fail`, `skip`, or all that it printed. */
export type Outcomes = ReadonlyMap<string, string>;

export interface Suite {
  readonly name: string;
  /** Of what is run. */
  readonly version: string;
  run(leg: Leg): Promise<Outcomes>;
  /** Tests that differ rightly, and why. */
  readonly known: Readonly<Record<string, string>>;
}
