/** One session of `dbproxy check`: what it holds, whether it can move, what that would take. */
import { report, type KindReport } from '../session-state/index.js';
import type { SessionReport } from './control-api.js';
import type { Session } from './session.js';

/** Measured with bench/stall: one look, and one round trip of replay, on 2 cores. */
const BASE_MS = 1.5;
const PER_ITEM_MS = 0.05;
/** A setting or a prepared statement on the wire, without its text. */
const PER_ITEM_BYTES = 64;

export const sessionReport = (session: Session, looked: boolean): SessionReport => {
  const state: readonly KindReport[] = session.state ? report(session.state) : [];
  const items = state.reduce((sum, { count }) => sum + count, 0);
  return {
    ...session.ref,
    looked,
    movable: looked && state.every(({ movable }) => movable),
    state,
    estimatedMs: BASE_MS + items * PER_ITEM_MS,
    estimatedBytes: items * PER_ITEM_BYTES,
  };
};
