/** One session of `dbproxy check`: what it holds, whether it can move, what that would take. */
import { estimate, report, type KindReport, type MoveLimits } from '../session-state/index.js';
import type { SessionReport } from './control-api.js';
import type { Session } from './session.js';

export const sessionReport = (session: Session, looked: boolean, limits: MoveLimits): SessionReport => {
  const state: readonly KindReport[] = session.state ? report(session.state, limits) : [];
  const { bytes, ms } = session.state ? estimate(session.state) : { bytes: 0, ms: 0 };
  return {
    ...session.ref,
    looked,
    movable: looked && ms <= limits.sessionMs && state.every(({ movable }) => movable),
    state,
    estimatedMs: ms,
    estimatedBytes: bytes,
  };
};
