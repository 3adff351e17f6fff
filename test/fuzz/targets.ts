/** All of them. Most cases are of what is quick: a connection takes a thousand times as long as a scan of bytes. */
import { fileTargets } from './file-targets.js';
import { liveTargets } from './live-targets.js';
import { protocolTargets } from './protocol-targets.js';
import type { Target } from './target.js';

export const targets: readonly Target[] = [...protocolTargets, ...fileTargets, ...liveTargets];

/** How many of `cases` are of each of `among`. */
export const divided = (cases: number, among: readonly Target[]): readonly (Target & { cases: number })[] => {
  const all = among.reduce((sum, { share }) => sum + share, 0);
  return among.map((target) => ({ ...target, cases: Math.ceil((cases * target.share) / all) }));
};
