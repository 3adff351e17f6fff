/** What is looked at in a quiet moment, and when it counts as growth. */
import { descriptorsOf, residentBytes } from '../support/processes.js';

export const PARTS = [
  'proxy MB',
  'supervisor MB',
  'proxy descriptors',
  'supervisor descriptors',
  'files beside data',
  'temporary files of the engine',
  'replication slots',
] as const;
export type Part = (typeof PARTS)[number];

export interface Look {
  readonly minute: number;
  readonly sessions: number;
  readonly moves: number;
  readonly parts: Readonly<Record<Part, number>>;
}

const MIB = 2 ** 20;
export const residentMB = async (pid: number): Promise<number> =>
  Math.round((await residentBytes(pid)) / MIB);
export const descriptors = descriptorsOf;

/** Looks at the beginning that do not count: code is compiled, caches are filled. */
const WARM = 2;
/** A heap is as large as its collector lets it become; beyond this share, and this much, it is growth. */
const SHARE = 0.15;
const AT_LEAST_MB = 12;

/** The least of the first half of what counts beside the least of its second half. In words; empty: nothing grew. */
export function grown(looks: readonly Look[]): string[] {
  const counted = looks.slice(WARM);
  if (counted.length < 4) return [`${looks.length} quiet moments are too few to tell`];
  const half = Math.floor(counted.length / 2);
  const least = (part: readonly Look[], of: Part): number => Math.min(...part.map(({ parts }) => parts[of]));
  return PARTS.flatMap((part) => {
    const [before, after] = [least(counted.slice(0, half), part), least(counted.slice(half), part)];
    const allowed = part.endsWith('MB') ? Math.max(AT_LEAST_MB, before * SHARE) : 0;
    return after > before + allowed ? [`${part} grew from ${before} to ${after}`] : [];
  });
}
