/**
 * From how many sessions on it pays to keep an order before and after the hold (look-ahead.ts, admission.ts). Measured on two
 * processors with 500 transactions/s (docs/performance.md): for 100 sessions the worst stall is shorter with it, for 16 longer,
 * because all of their first transactions together take no longer than keeping them in turn.
 */
import { availableParallelism } from 'node:os';

const SESSIONS_PER_PROCESSOR = 16;

export const isCrowd = (sessions: number): boolean =>
  sessions > SESSIONS_PER_PROCESSOR * availableParallelism();
