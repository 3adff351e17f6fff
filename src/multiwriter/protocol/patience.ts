/**
 * When the primary is asked about a proposal that nobody settles. It has work with each question, and the rows go along each time: one that is
 * large is only later on its way, and to ask would hold up all that comes behind it.
 */
import type { Proposal } from './proposal.js';

/** Asked 1, 2, 4 and 8 times as long after, and then each time as much has passed. */
const LONGEST = 8;
/** So many characters of rows may take as long as a proposal without any. */
const LENGTH_OF_ONE = 1024 * 1024;

/** By how much longer a proposal may be on its way than one without rows. */
export const slowness = ({ payload }: Proposal): number => 1 + Math.floor(payload.length / LENGTH_OF_ONE);

/** `patience`: in ticks, until it is asked for the first time. */
export function isDue(ticks: number, patience: number): boolean {
  const times = ticks / patience;
  return Number.isInteger(times) && (times % LONGEST === 0 || (times & (times - 1)) === 0);
}
