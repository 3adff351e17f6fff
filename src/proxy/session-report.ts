/** One session of `dbproxy check`: what it holds, whether it can move, what that would take. */
import { estimate, report, type KindReport, type MoveLimits } from '../session-state/index.js';
import type { SessionReport } from './control-api.js';
import type { Session } from './session.js';

export interface Findings {
  /** Null: it was looked at. Else why it could not be. */
  readonly unseen: string | null;
  /** Why the engine would refuse to let it in anew; null: it would not. */
  readonly refused: string | null;
  readonly limits: MoveLimits;
}

export const sessionReport = (session: Session, { unseen, refused, limits }: Findings): SessionReport => {
  const looked = unseen === null;
  const state: readonly KindReport[] = looked && session.state ? report(session.state, limits) : [];
  const { bytes, ms } = looked && session.state ? estimate(session.state) : { bytes: 0, ms: 0 };
  const obstacles = state.filter(({ movable }) => !movable).map(({ detail }) => `holds ${detail}`);
  const reasons = [unseen, refused, ...obstacles].filter((reason) => reason !== null);
  return {
    ...session.ref,
    looked,
    movable: reasons.length === 0,
    reasons,
    state,
    estimatedMs: Math.round(ms * 10) / 10,
    estimatedBytes: bytes,
  };
};
